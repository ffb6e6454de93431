/**
 * The one place where the page says that something is amiss: what, and what to do about it.
 *
 * @module notice
 */

import { byId } from "./elements.js";
import { PROBLEMS } from "./strings.js";

/** @typedef {import("./strings.js").ProblemWords} ProblemWords */

/**
 * @typedef {object} NoticeFacts
 * @property {string} [message]  the server's own sentence, in place of the title
 * @property {string} [more]  a sentence behind the advice
 * @property {string} [action]  what the button says
 * @property {() => void} [act]
 * @property {boolean} [isPassing]  the agent's next words make it outdated
 */

export class Notice {
  #element = byId("notice", HTMLElement);
  #picture = byId("notice-picture", SVGUseElement);
  #title = byId("notice-title", HTMLElement);
  #advice = byId("notice-advice", HTMLElement);
  #action = byId("notice-action", HTMLButtonElement);
  /** @type {NoticeFacts} */
  #facts = {};
  #code = "";

  constructor() {
    this.#action.addEventListener("click", () => this.#facts.act?.());
    byId("notice-close", HTMLButtonElement).addEventListener("click", () => this.hide());
  }

  /** @returns {string} of what is shown; empty when nothing is */
  get code() {
    return this.#code;
  }

  /**
   * @param {string} code  a key of `PROBLEMS`; for another one the message must say it all
   * @param {NoticeFacts} [facts]
   */
  show(code, facts = {}) {
    const known = /** @type {Record<string, ProblemWords>} */ (PROBLEMS)[code];
    const { title, advice, picture } = known ?? { title: "", advice: "", picture: "note" };
    this.#facts = facts;
    this.#code = code;
    this.#element.dataset.code = code;
    this.#picture.setAttribute("href", `#picture-${picture}`);
    this.#title.textContent = facts.message || title;
    this.#advice.textContent = [advice, facts.more].filter(Boolean).join(" ");
    this.#action.hidden = !facts.action;
    this.#action.textContent = facts.action ?? "";
    this.#element.hidden = false;
  }

  hide() {
    this.#element.hidden = true;
    this.#facts = {};
    this.#code = "";
  }

  /** Hides what the agent's words have made outdated. */
  pass() {
    if (this.#facts.isPassing) this.hide();
  }
}
