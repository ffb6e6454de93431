/**
 * Typed texts, from the moment they are typed until the server has shown that it has them.
 *
 * The channel is ordered and reliable, but not beyond its end: what was sent into a path that was
 * already dead is lost with it. A pong answers a ping that went behind the text, so the text was
 * there before.
 *
 * @module outbox
 */

/** Many pages of text: who types more while nobody answers is told so. */
const CHARACTERS_MAX = 256 * 1024;
/** A message of the contract has 256 KiB; what is around the text fits into the rest. */
const BYTES_MAX = 255 * 1024;

export class Outbox {
  /** @type {{text: string, sentAtMs: number | null}[]} in the order in which they were typed */
  #texts = [];
  /** Whether this server answers pings, in whichever connection. */
  #isAnswered = false;

  get isEmpty() {
    return this.#texts.length === 0;
  }

  /**
   * @param {string} text
   * @returns {boolean} whether there is room for it
   */
  add(text) {
    const characters = this.#texts.reduce((sum, one) => sum + one.text.length, text.length);
    if (characters > CHARACTERS_MAX || bytesOf(text) > BYTES_MAX) return false;
    this.#texts.push({ text, sentAtMs: null });
    return true;
  }

  /**
   * Sends what has not been sent, in order, until one cannot be.
   *
   * @param {(text: string) => boolean} send  whether it was sent
   * @param {number} nowMs
   */
  flush(send, nowMs) {
    for (const one of this.#texts) {
      if (one.sentAtMs !== null) continue;
      if (!send(one.text)) return;
      one.sentAtMs = nowMs;
    }
  }

  /**
   * A ping of that time was answered: all that was sent before it has arrived.
   *
   * @param {number} pingedAtMs
   */
  onPong(pingedAtMs) {
    this.#isAnswered = true;
    this.#texts = this.#texts.filter(({ sentAtMs }) => sentAtMs === null || sentAtMs >= pingedAtMs);
  }

  /** The agent thinks about what was asked: the oldest text that was sent has arrived. */
  onThinking() {
    const index = this.#texts.findIndex(({ sentAtMs }) => sentAtMs !== null);
    if (index >= 0) this.#texts.splice(index, 1);
  }

  /**
   * The connection is gone. Of a server that answers no pings nobody can tell what has arrived there:
   * what was sent is not sent again.
   */
  onLoss() {
    if (!this.#isAnswered) this.#texts = this.#texts.filter(({ sentAtMs }) => sentAtMs === null);
    for (const one of this.#texts) one.sentAtMs = null;
  }

  /** The person has ended the call: what was sent was sent, and is not said once more later. */
  onHangUp() {
    this.#texts = this.#texts.filter(({ sentAtMs }) => sentAtMs === null);
  }

  clear() {
    this.#texts.length = 0;
  }
}

/**
 * @param {string} text
 * @returns {number} of it in a message: JSON in UTF-8
 */
function bytesOf(text) {
  return new TextEncoder().encode(JSON.stringify(text)).length;
}
