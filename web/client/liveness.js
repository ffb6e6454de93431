/**
 * Whether the other end of a connection still answers.
 *
 * ICE takes five seconds to call a path `disconnected` and fifteen to give it up, and after a
 * laptop's sleep it begins to count only then. A ping on the data channel knows sooner.
 * A conversation goes on within five seconds of a change of address that nobody tells the page
 * of: this takes three of them at most.
 *
 * @module liveness
 */

const TICK_MS = 250;
const PING_EVERY_MS = 1_000;
/** A path on which nothing at all has come for so long is gone… */
const PATIENCE_MS = 2_500;
/** …if a ping has had this long to be answered, which is enough where something happened. */
const SUSPICION_MS = 1_500;
/**
 * Packets do come, but no answer: lost ones are being sent again, which takes seconds each time
 * it fails. The path is there, so there is less reason to hurry.
 */
const UNANSWERED_MS = 8_000;
/** A tick that comes so late was held back: the tab, or the whole device, slept. */
const SLEPT_MS = 2_000;

/** Decides, with the time as an argument, when to ping and when to give up. */
export class LivenessRule {
  #pingDueAt;
  #tickedAt;
  /** When the path is given up if nothing comes; moves on with each packet. */
  #deadline = Infinity;
  /** When anything came the last time. */
  #signAt;
  /** How long a silence may be. */
  #patienceMs = PATIENCE_MS;
  /** When the other end is given up whatever comes, but an answer. */
  #lastDeadline = Infinity;
  /** Whether pings are answered at all: who never did is not gone when he does not. */
  #isAnswered = false;
  #packets = Infinity;

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#tickedAt = nowMs;
    this.#signAt = nowMs;
    this.#pingDueAt = nowMs + PING_EVERY_MS;
  }

  /** Whether a ping is on its way: then it matters what {@link received} says. */
  get isWaiting() {
    return this.#deadline !== Infinity;
  }

  /**
   * A message came from the other end.
   *
   * @param {number} nowMs
   */
  heard(nowMs) {
    this.#signAt = nowMs;
    this.#deadline = Infinity;
    this.#lastDeadline = Infinity;
    this.#patienceMs = PATIENCE_MS;
  }

  /**
   * It was the answer to a ping.
   *
   * @param {number} nowMs
   */
  answered(nowMs) {
    this.#isAnswered = true;
    this.heard(nowMs);
  }

  /**
   * So many packets have come in all, messages or not.
   *
   * @param {number} packets
   * @param {number} nowMs
   */
  received(packets, nowMs) {
    const isMore = packets > this.#packets;
    this.#packets = packets;
    if (!isMore || !this.isWaiting) return;
    this.#signAt = nowMs;
    this.#deadline = nowMs + this.#patienceMs;
  }

  /**
   * Something happened that may have ended the connection.
   *
   * @param {number} nowMs
   * @returns {"ping"}
   */
  suspect(nowMs) {
    this.#patienceMs = SUSPICION_MS;
    return this.#pingAt(nowMs);
  }

  /**
   * @param {number} nowMs
   * @returns {"ping" | "dead" | "wait"}
   */
  tick(nowMs) {
    // A clock that was set back says nothing of how long it was, either.
    const slept = nowMs - this.#tickedAt > SLEPT_MS || nowMs < this.#tickedAt;
    this.#tickedAt = nowMs;
    if (slept) {
      // What came meanwhile has not been looked at yet: ask once more before giving up.
      this.heard(nowMs);
      return this.suspect(nowMs);
    }
    if (nowMs >= this.#deadline) return "dead";
    if (this.#isAnswered && nowMs >= this.#lastDeadline) return "dead";
    return nowMs < this.#pingDueAt ? "wait" : this.#pingAt(nowMs);
  }

  /**
   * @param {number} nowMs
   * @returns {"ping"}
   */
  #pingAt(nowMs) {
    this.#pingDueAt = nowMs + PING_EVERY_MS;
    this.#lastDeadline = Math.min(this.#lastDeadline, nowMs + UNANSWERED_MS);
    const answerDueAt = Math.max(this.#signAt + this.#patienceMs, nowMs + SUSPICION_MS);
    this.#deadline = Math.min(this.#deadline, answerDueAt);
    return "ping";
  }
}

/** The rule on the browser's clock; listens to what the browser says of network and sleep. */
export class Liveness {
  #rule = new LivenessRule(now());
  #ping;
  #countPackets;
  #onDead;
  #isCounting = false;
  #listening = new AbortController();
  #timer = setInterval(() => this.#tick(), TICK_MS);

  /**
   * @param {object} actions
   * @param {() => void} actions.ping  asks the other end for an answer
   * @param {() => Promise<number>} actions.countPackets  how many have come since the beginning
   * @param {() => void} actions.onDead  is called once, after which this is closed
   */
  constructor({ ping, countPackets, onDead }) {
    this.#ping = ping;
    this.#countPackets = countPackets;
    this.#onDead = onDead;
    const heeded = { signal: this.#listening.signal };
    const suspect = () => this.#do(this.#rule.suspect(now()));
    addEventListener("online", suspect, heeded);
    addEventListener("offline", suspect, heeded);
    document.addEventListener("resume", suspect, heeded);
    document.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && suspect(),
      heeded,
    );
    /** @type {{connection?: EventTarget}} */ (navigator).connection?.addEventListener(
      "change",
      suspect,
      heeded,
    );
  }

  /** A message came from the other end. */
  heard() {
    this.#rule.heard(now());
  }

  /** It was the answer to a ping. */
  answered() {
    this.#rule.answered(now());
  }

  /** May be called twice. */
  close() {
    clearInterval(this.#timer);
    this.#listening.abort();
  }

  #tick() {
    if (this.#rule.isWaiting) this.#lookForPackets();
    this.#do(this.#rule.tick(now()));
  }

  /** The answer is in time for one of the next ticks. */
  async #lookForPackets() {
    if (this.#isCounting) return;
    this.#isCounting = true;
    try {
      this.#rule.received(await this.#countPackets(), now());
    } finally {
      this.#isCounting = false;
    }
  }

  /** @param {"ping" | "dead" | "wait"} what */
  #do(what) {
    if (what === "ping") this.#ping();
    if (what !== "dead") return;
    this.close();
    this.#onDead();
  }
}

/** Milliseconds that go on while the device sleeps, as those of `performance.now` need not. */
function now() {
  return Date.now();
}
