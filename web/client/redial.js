/**
 * How long to wait before a lost call is placed again.
 *
 * @module redial
 */

const FIRST_WAIT_S = 0.4;
/** Short enough that a conversation goes on within five seconds of the network's return. */
const LONGEST_WAIT_S = 3;
/** After so many failures in a row nobody is waiting any more: the server is left in peace. */
const PATIENT_FAILURES = 20;
const LONGEST_PATIENT_WAIT_S = 15;
/** The browser itself says that there is no network: nobody is asked, so nobody is bothered. */
const OFFLINE_WAIT_S = 1.5;

/** Doubles with every failure in a row, and is jittered so that clients do not come together. */
export class Redial {
  #failures = 0;
  #random;

  /** @param {() => number} [random]  from 0 to 1 */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** A call came up, or a person asked: the next wait is short again. */
  reset() {
    this.#failures = 0;
  }

  /**
   * @param {object} [how]
   * @param {boolean} [how.online]  what the browser says of the network
   * @param {number} [how.atLeastS]  the server asked for it
   * @returns {number} seconds
   */
  nextWaitS({ online = true, atLeastS = 0 } = {}) {
    if (!online) return OFFLINE_WAIT_S;
    const most = this.#failures < PATIENT_FAILURES ? LONGEST_WAIT_S : LONGEST_PATIENT_WAIT_S;
    const wait = Math.min(FIRST_WAIT_S * 2 ** this.#failures, most);
    this.#failures += 1;
    // Those whom one server has sent away do not come back together either.
    const asked = atLeastS * (1 + this.#random() / 5);
    return Math.max(wait * (0.5 + this.#random() / 2), asked);
  }
}
