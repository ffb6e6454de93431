/**
 * Whether the other end of a connection still answers.
 *
 * ICE takes five seconds to call a path `disconnected` and fifteen to give it up, and after a
 * laptop's sleep it begins to count only then. A ping on the data channel knows sooner.
 *
 * @module liveness
 */

const TICK_MS = 500;
const PING_EVERY_MS = 2_000;
/** An answer that takes longer than this will not come. */
const PATIENCE_MS = 3_500;
/** The same, where something happened to the network or to the device. */
const SUSPICION_MS = 1_500;
/** A tick that comes so late was held back: the tab, or the whole device, slept. */
const SLEPT_MS = 5_000;

/** Decides, with the time as an argument, when to ping and when to give up. */
export class LivenessRule {
  #pingDueAt;
  #tickedAt;
  /** When the oldest unanswered ping gives out. */
  #deadline = Infinity;

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#tickedAt = nowMs;
    this.#pingDueAt = nowMs + PING_EVERY_MS;
  }

  /** Anything at all came from the other end. */
  heard() {
    this.#deadline = Infinity;
  }

  /**
   * Something happened that may have ended the connection.
   *
   * @param {number} nowMs
   * @returns {"ping"}
   */
  suspect(nowMs) {
    this.#pingDueAt = nowMs + PING_EVERY_MS;
    this.#deadline = Math.min(this.#deadline, nowMs + SUSPICION_MS);
    return "ping";
  }

  /**
   * @param {number} nowMs
   * @returns {"ping" | "dead" | "wait"}
   */
  tick(nowMs) {
    const slept = nowMs - this.#tickedAt > SLEPT_MS;
    this.#tickedAt = nowMs;
    if (slept) {
      // What came meanwhile has not been looked at yet: ask once more before giving up.
      this.#deadline = Infinity;
      return this.suspect(nowMs);
    }
    if (nowMs >= this.#deadline) return "dead";
    if (nowMs < this.#pingDueAt) return "wait";
    this.#pingDueAt = nowMs + PING_EVERY_MS;
    if (this.#deadline === Infinity) this.#deadline = nowMs + PATIENCE_MS;
    return "ping";
  }
}

/** The rule on the browser's clock; listens to what the browser says of network and sleep. */
export class Liveness {
  #rule = new LivenessRule(now());
  #ping;
  #onDead;
  #listening = new AbortController();
  #timer = setInterval(() => this.#do(this.#rule.tick(now())), TICK_MS);

  /**
   * @param {object} actions
   * @param {() => void} actions.ping  asks the other end for an answer
   * @param {() => void} actions.onDead  is called once, after which this is closed
   */
  constructor({ ping, onDead }) {
    this.#ping = ping;
    this.#onDead = onDead;
    const heeded = { signal: this.#listening.signal };
    const suspect = () => this.#do(this.#rule.suspect(now()));
    addEventListener("online", suspect, heeded);
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

  /** Anything at all came from the other end. */
  heard() {
    this.#rule.heard();
  }

  /** May be called twice. */
  close() {
    clearInterval(this.#timer);
    this.#listening.abort();
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
