/**
 * What is said to who does not see the page.
 *
 * @module announcer
 */

import { byId } from "./elements.js";
import { WORDS } from "./strings.js";

/** What reads markdown is waited for so long; then an answer is read out with its markup. */
const READER_MS = 3_000;

export class Announcer {
  #element = byId("announcer", HTMLElement);
  /** Moves on where what is still to be said is not to be said any more. */
  #epoch = 0;

  /** @param {string} words */
  say(words) {
    this.#element.textContent = words;
  }

  /** @param {string} text  of an answer, in markdown */
  async sayAnswer(text) {
    const epoch = this.#epoch;
    const words = await wordsOf(text);
    if (epoch === this.#epoch) this.say(`${WORDS.agent}: ${words}`);
  }

  /** What is said aloud from here on is not read out over: an answer that waits is left out. */
  hush() {
    this.#epoch += 1;
  }

  /** Nothing of what was said is left, nor comes. */
  clear() {
    this.hush();
    this.say("");
  }
}

/**
 * What reads markdown may not be to be had, or be long in coming: then the text as it was written.
 *
 * @param {string} text
 * @returns {Promise<string>}
 */
async function wordsOf(text) {
  /** @type {Promise<string>} */
  const asWritten = new Promise((resolve) => setTimeout(() => resolve(text), READER_MS));
  const read = import("./markdown.js").then(({ plainText }) => plainText(text));
  return Promise.race([read.catch(() => text), asWritten]);
}
