/**
 * The one place where the page says that something is amiss: what, and what to do about it.
 *
 * @module notice
 */

import { byId } from "./elements.js";
import { PROBLEMS, tryingAgain } from "./strings.js";

const SECOND_MS = 1_000;

/** @typedef {import("./strings.js").ProblemWords} ProblemWords */

/**
 * @typedef {object} NoticeFacts
 * @property {string} [message]  the server's own sentence, in place of the title
 * @property {number | null} [retryInS]  when the page tries again by itself; null: it does not
 * @property {string} [action]  what the button says
 * @property {() => void} [act]
 * @property {boolean} [isPassing]  the agent's next words make it outdated
 */

/**
 * Title and advice are an alert, which a screen reader speaks whenever they change: they are
 * written only when they do. The seconds until the next try are counted down beside it, in silence.
 */
export class Notice {
  #element = byId("notice", HTMLElement);
  #picture = byId("notice-picture", SVGUseElement);
  #title = byId("notice-title", HTMLElement);
  #advice = byId("notice-advice", HTMLElement);
  #countdown = byId("notice-countdown", HTMLElement);
  #action = byId("notice-action", HTMLButtonElement);
  /** @type {NoticeFacts} */
  #facts = {};
  #code = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #counting;

  constructor() {
    this.#action.addEventListener("click", () => this.#facts.act?.());
    byId("notice-close", HTMLButtonElement).addEventListener("click", () => this.hide());
  }

  /** @returns {string} of what is shown; empty when nothing is */
  get code() {
    return this.#code;
  }

  /** Whether it says when the page tries again. */
  get isCounting() {
    return !this.#countdown.hidden;
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
    write(this.#title, facts.message || title);
    write(this.#advice, advice);
    this.countDown(facts.retryInS ?? null);
    this.#action.hidden = !facts.action;
    write(this.#action, facts.action ?? "");
    this.#element.hidden = false;
  }

  /** @param {number | null} seconds  until the next try, 0 while it is made; null: there is none */
  countDown(seconds) {
    clearInterval(this.#counting);
    this.#countdown.hidden = seconds === null;
    if (seconds === null) return;
    const at = performance.now() + seconds * SECOND_MS;
    const show = () => {
      const leftS = Math.max(0, (at - performance.now()) / SECOND_MS);
      write(this.#countdown, tryingAgain(leftS));
      if (leftS === 0) clearInterval(this.#counting);
    };
    this.#counting = setInterval(show, SECOND_MS);
    show();
  }

  hide() {
    this.countDown(null);
    this.#element.hidden = true;
    write(this.#title, ""); // the same trouble is said again when it comes again
    write(this.#advice, "");
    this.#facts = {};
    this.#code = "";
  }

  /** Hides what the agent's words have made outdated. */
  pass() {
    if (this.#facts.isPassing) this.hide();
  }
}

/**
 * Writes nothing where it says so already.
 *
 * @param {HTMLElement} element
 * @param {string} words
 */
function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
