/**
 * What the agent asks before a tool does something: a card with a yes and a no, and the time it waits.
 *
 * @module questions
 */

import { byId } from "./elements.js";
import { WORDS, countsAsNo, mayGoOn, moreQuestions } from "./strings.js";

/** @typedef {import("../client/messages.js").ServerMessages["confirm"]} Confirm */

/** @typedef {{asked: Confirm, untilMs: number}} Question */

const SECOND_MS = 1_000;
const QUESTIONS_MAX = 32;
const VALUE_CHARACTERS = 16 * 1024;
/** Who clicks as a card appears under the finger has not read it. */
const READ_MS = 400;

/**
 * One question after the other. It takes the focus, which a screen reader then reads, but not from
 * somebody who is typing: `asked` is to be announced to him. The focus is on the card and on neither
 * button, so that no key that was on its way answers.
 *
 * Events, each with a {@link Confirm} in `detail.asked`: `asked`; `answer`, with `confirmed` and
 * `payload`; `expired`.
 */
export class Questions extends EventTarget {
  #card = byId("question", HTMLElement);
  #title = byId("question-title", HTMLElement);
  #hint = byId("question-hint", HTMLElement);
  #args = byId("question-args", HTMLElement);
  #cut = byId("question-cut", HTMLElement);
  #form = byId("question-form", HTMLElement);
  #payload = byId("question-payload", HTMLTextAreaElement);
  #wrong = byId("question-wrong", HTMLElement);
  #left = byId("question-left", HTMLElement);
  #more = byId("question-more", HTMLElement);
  /** The first of them is shown. @type {Question[]} */
  #waiting = [];
  #shown = /** @type {Question | null} */ (null);
  #shownAt = 0;
  /** What had the focus before. @type {Element | null} */
  #before = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #counting;

  constructor() {
    super();
    byId("question-yes", HTMLButtonElement).addEventListener("click", () => this.#answer(true));
    byId("question-no", HTMLButtonElement).addEventListener("click", () => this.#answer(false));
    this.#payload.addEventListener("input", () => this.#showWrong(false));
  }

  /** @param {Confirm} asked */
  ask(asked) {
    if (this.#waiting.some((one) => one.asked.id === asked.id)) return;
    if (this.#waiting.length >= QUESTIONS_MAX) return; // it counts as no when its time is over
    this.#waiting.push({ asked, untilMs: performance.now() + asked.seconds * SECOND_MS });
    this.#counting ??= setInterval(() => this.#onSecond(), SECOND_MS);
    this.#show();
  }

  /** @param {string} id  of a tool call that the agent has taken back */
  withdraw(id) {
    this.#remove((one) => one.asked.id === id);
  }

  /** Nobody waits for an answer any more. */
  withdrawAll() {
    this.#remove(() => true);
  }

  // ---------------------------------------------------------------------------

  /** @param {boolean} confirmed */
  #answer(confirmed) {
    const question = this.#shown;
    if (!question || performance.now() - this.#shownAt < READ_MS) return;
    const { asked } = question;
    let payload;
    if (confirmed && !this.#form.hidden) {
      try {
        payload = JSON.parse(this.#payload.value);
      } catch {
        this.#showWrong(true);
        this.#payload.focus();
        return;
      }
    }
    this.#say("answer", { asked, confirmed, payload });
    this.#remove((one) => one === question);
  }

  #onSecond() {
    const now = performance.now();
    for (const { asked, untilMs } of this.#waiting) {
      if (untilMs <= now) this.#say("expired", { asked });
    }
    this.#remove(({ untilMs }) => untilMs <= now);
    this.#showLeft();
  }

  /** @param {(question: Question) => boolean} which */
  #remove(which) {
    this.#waiting = this.#waiting.filter((one) => !which(one));
    this.#show();
  }

  #show() {
    const [first = null] = this.#waiting;
    this.#more.textContent = moreQuestions(this.#waiting.length - 1);
    if (first === this.#shown) return;
    if (first === null) this.#hide();
    else this.#fill(first);
  }

  #hide() {
    clearInterval(this.#counting);
    this.#counting = undefined;
    const hadFocus = this.#card.contains(document.activeElement);
    this.#shown = null;
    this.#card.hidden = true;
    const goesTo = this.#before instanceof HTMLElement && this.#before.isConnected && this.#before;
    if (hadFocus) (goesTo || byId("text", HTMLTextAreaElement)).focus();
    this.#before = null;
  }

  /** @param {Question} question */
  #fill(question) {
    const { name, hint = "", args, payload, truncated } = question.asked;
    this.#shown = question;
    this.#shownAt = performance.now();
    this.#title.textContent = mayGoOn(name);
    this.#hint.textContent = hint;
    this.#hint.hidden = hint === "";
    this.#args.hidden = args === undefined || args === null;
    const words = this.#args.hidden ? "" : fieldsOf(args);
    this.#args.textContent = words.slice(0, VALUE_CHARACTERS);
    this.#cut.hidden = !truncated && words.length <= VALUE_CHARACTERS;
    this.#cut.textContent = this.#cut.hidden ? "" : WORDS.shortened;
    this.#form.hidden = payload === undefined || payload === null || Boolean(truncated);
    this.#payload.value = this.#form.hidden ? "" : shown(payload);
    this.#showWrong(false);
    this.#showLeft();
    this.#card.hidden = false;
    this.#takeFocus();
    this.#say("asked", { asked: question.asked });
  }

  #takeFocus() {
    const focused = document.activeElement;
    if (this.#card.contains(focused)) {
      this.#card.focus();
      return;
    }
    const isTyping = focused instanceof HTMLTextAreaElement && focused.value !== "";
    if (isTyping || document.querySelector("dialog:modal")) return;
    this.#before = focused;
    this.#card.focus();
  }

  /** Not within what is announced: nobody is told of every second. */
  #showLeft() {
    if (!this.#shown) return;
    const seconds = Math.ceil((this.#shown.untilMs - performance.now()) / SECOND_MS);
    this.#left.textContent = countsAsNo(Math.max(0, seconds));
  }

  /** @param {boolean} isWrong */
  #showWrong(isWrong) {
    this.#payload.ariaInvalid = String(isWrong);
    this.#wrong.textContent = isWrong ? WORDS.notJson : "";
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {unknown} value  arguments: one of them a line */
function fieldsOf(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return shown(value);
  const lines = Object.entries(value).map(([name, one]) => `${name}: ${JSON.stringify(one)}`);
  return lines.join("\n");
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
