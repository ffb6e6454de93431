/**
 * The bar above the conversation: who answers, what begins anew, and the copies that can be had.
 *
 * @module header
 */

import { sayingCopied } from "./copy_button.js";
import { byId } from "./elements.js";
import { download, fileName } from "./exports.js";
import { PAGE, WORDS } from "./strings.js";

/** @typedef {import("./transcript.js").Transcript} Transcript */
/** @typedef {ReturnType<typeof setTimeout>} Timer */

/** How long New conversation waits for the second click. */
const REALLY_MS = 4_000;

/**
 * Events: `new` where a new conversation is to begin; `uncopied` where the browser does not let the
 * page copy; `news`, with words for who does not see the page in `detail`.
 */
export class Header extends EventTarget {
  #transcript;
  #agent = byId("agent", HTMLElement);
  #new = byId("new", HTMLButtonElement);
  #menu = byId("menu", HTMLElement);
  /** Runs while New conversation waits for the second click. @type {Timer | undefined} */
  #reallyTimer;
  #sayCopied = sayingCopied((isCopied) => {
    const button = byId("copy-transcript", HTMLButtonElement);
    button.textContent = isCopied ? WORDS.copied : PAGE.copyTranscript;
    this.#say("news", isCopied ? WORDS.copied : "");
  });

  /** @param {Transcript} transcript */
  constructor(transcript) {
    super();
    this.#transcript = transcript;
    /** @type {(id: string, handle: () => void) => void} */
    const onClick = (id, handle) =>
      byId(id, HTMLButtonElement).addEventListener("click", () => handle());
    onClick("new", () => this.#askToBeginAnew());
    onClick("copy-transcript", () => this.#copy());
    onClick("download-text", () => {
      download(transcript.toText(), fileName("txt"), "text/plain");
      this.#menu.hidePopover();
    });
    onClick("download-json", () => {
      const json = JSON.stringify(transcript.toJson(), null, 2);
      download(json, fileName("json"), "application/json");
      this.#menu.hidePopover();
    });
  }

  /** @param {string} name */
  showAgent(name) {
    this.#agent.textContent = name;
    document.title = name;
  }

  /** What is forgotten does not come back: where there is something, it takes a second click. */
  #askToBeginAnew() {
    if (this.#transcript.isEmpty || this.#reallyTimer !== undefined) {
      this.#showReally(false);
      this.#say("new");
      return;
    }
    this.#showReally(true);
    this.#say("news", WORDS.reallyNew);
  }

  /** @param {boolean} asks */
  #showReally(asks) {
    clearTimeout(this.#reallyTimer);
    this.#reallyTimer = asks ? setTimeout(() => this.#showReally(false), REALLY_MS) : undefined;
    const words = asks ? WORDS.really : PAGE.newConversation;
    this.#new.ariaLabel = words;
    this.#new.classList.toggle("asks", asks);
    byId("new-text", HTMLElement).textContent = words;
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#transcript.toText());
      this.#sayCopied();
    } catch {
      this.#menu.hidePopover();
      this.#say("uncopied");
    }
  }

  /**
   * @param {string} type
   * @param {string} [detail]
   */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
