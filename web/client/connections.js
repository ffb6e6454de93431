/**
 * The connections of one call: the one that counts, the one that it takes over, and when the next
 * is placed.
 *
 * Events, in the order in which things happen:
 *
 * - `config`, `placed`, `stream`, `message`: of the connection that counts, as it has them;
 * - `answered`: a pong of the one that is being taken over, its `t`;
 * - `taken`: another connection counts from now on;
 * - `gone`: the one that counted is gone; then `lost` where none stands any more;
 * - `back`: the one that was to be taken over is gone on with, a {@link Connection};
 * - `over`: no further one is placed;
 * - `status`: where the line stands, `{line, problem, retryInS}`.
 *
 * @module connections
 */

import { Connection, ConnectionState } from "./connection.js";
import { Line } from "./line.js";
import { Redial } from "./redial.js";

/** @typedef {import("./messages.js").ClientMessage} ClientMessage */
/** @typedef {import("./problem.js").CallProblem} Problem */

/** A connection that stood this long was a good one: the next wait is short again. */
const GOOD_CONNECTION_MS = 5_000;

/**
 * @typedef {object} Caller
 * @property {() => ConstructorParameters<typeof Connection>[0]} describe  the next connection
 * @property {() => Parameters<Connection["start"]>[0]} media  that it begins with
 * @property {() => boolean} dropResumeToken  which is no longer good; whether there was one
 */

export class Connections extends EventTarget {
  #caller;
  #line = /** @type {string} */ (Line.DOWN);
  /** @type {Connection | null} */
  #connection = null;
  /** The connection that the current one takes over. @type {Connection | null} */
  #replaced = null;
  /** The one that was hung up last: it may hold the track for as long as it tells the server. */
  #leaving = /** @type {Connection | null} */ (null);
  #redial = new Redial();
  #upSince = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #redialTimer;
  /** What the server asked for when it refused the last call; as of `Date.now`. */
  #notBefore = 0;

  /** @param {Caller} caller */
  constructor(caller) {
    super();
    this.#caller = caller;
  }

  /** @returns {string} one of {@link Line} */
  get line() {
    return this.#line;
  }

  /** @returns {Connection | null} the one that counts */
  get current() {
    return this.#connection;
  }

  /** Places another connection now, in place of the one that there is. */
  connect() {
    this.#retire(this.#connection);
    this.#dial();
  }

  /** What was asked for by a person is not made to wait for what went wrong before. */
  forgetTries() {
    this.#redial.reset();
  }

  /** The server has said that it is ready. */
  stand() {
    this.#retire(null);
    this.#upSince = performance.now();
    this.#enter(Line.UP);
  }

  /** @param {{isLeaving?: boolean}} [how]  as of `Connection.hangUp` */
  hangUp(how) {
    clearTimeout(this.#redialTimer);
    const connection = this.#connection;
    this.#connection = null;
    this.#retire(null);
    connection?.hangUp(how);
    this.#leaving = connection;
    this.#emit("over", null);
    if (this.#line !== Line.DOWN) this.#enter(Line.DOWN);
  }

  /**
   * @param {ClientMessage} message
   * @returns {boolean} whether it was sent
   */
  send(message) {
    return this.#connection?.send(message) ?? false;
  }

  /** @param {MediaStreamTrack | null} track  of a microphone */
  async replaceTrack(track) {
    await Promise.allSettled(this.#open.map((one) => one.replaceTrack(track)));
  }

  /** @param {MediaStreamTrack | null} track  of a camera or a screen */
  async replaceVideo(track) {
    await Promise.allSettled(this.#open.map((one) => one.replaceVideo(track)));
  }

  /**
   * The network is back: nobody waits for a timer, nor for a request that went into the void or
   * a connection that is being made from an address of before.
   */
  onOnline() {
    if (this.#line === Line.WAITING || this.#line === Line.DIALLING) this.#redialNow();
  }

  /** Somebody looks at the page again, who would wait for a timer. */
  onWake() {
    if (this.#line === Line.WAITING) this.#redialNow();
  }

  // ---------------------------------------------------------------------------

  get #open() {
    return [this.#connection, this.#replaced, this.#leaving].filter((one) => one !== null);
  }

  #dial() {
    clearTimeout(this.#redialTimer);
    this.#notBefore = 0;
    const connection = new Connection(this.#caller.describe());
    /** @type {(type: string, handle: (detail: any) => void) => void} */
    const when = (type, handle) =>
      connection.addEventListener(type, (event) => {
        if (this.#connection === connection) handle(detailOf(event));
      });
    for (const type of ["config", "placed", "stream", "message"]) {
      when(type, (detail) => this.#emit(type, detail));
    }
    when("end", (problem) => this.#onEnd(problem));
    connection.addEventListener("message", (event) => {
      const message = detailOf(event);
      if (this.#replaced === connection && message.type === "pong") {
        this.#emit("answered", message.t);
      }
    });
    this.#take(connection);
    this.#enter(Line.DIALLING);
    if (this.#connection !== connection) return; // Who heard of it has hung up.
    connection.start(this.#caller.media());
  }

  /** @param {Connection} connection  is the one that counts from now on */
  #take(connection) {
    this.#connection = connection;
    this.#emit("taken", null);
  }

  /** @param {Problem | null} problem */
  #onEnd(problem) {
    const stood = this.#line === Line.UP && performance.now() - this.#upSince;
    if (stood && stood > GOOD_CONNECTION_MS) this.#redial.reset();
    this.#connection = null;
    this.#emit("gone", null);
    if (problem?.code === "unauthorized" && this.#caller.dropResumeToken()) {
      this.#dial(); // the call token may still be good
      return;
    }
    if (problem && this.#replaced?.state === ConnectionState.CONNECTED) {
      this.#goBack(this.#replaced, problem);
      return;
    }
    this.#retire(null);
    this.#emit("lost", null);
    if (!problem?.retryable) {
      this.#emit("over", null);
      this.#enter(Line.DOWN, problem);
      return;
    }
    const retryInS = this.#redial.nextWaitS({
      online: navigator.onLine,
      atLeastS: problem.retryAfterS,
    });
    this.#notBefore = Date.now() + problem.retryAfterS * 1000;
    this.#redialTimer = setTimeout(() => this.connect(), retryInS * 1000);
    this.#enter(Line.WAITING, problem, retryInS);
  }

  /**
   * The connection that was to take its place did not come about: what stands is gone on with.
   *
   * @param {Connection} connection
   * @param {Problem} problem
   */
  #goBack(connection, problem) {
    this.#replaced = null;
    this.#take(connection);
    this.#emit("back", connection);
    this.#enter(Line.UP, problem);
  }

  #redialNow() {
    // A server that is full or stopping knows better when to be asked again.
    if (Date.now() < this.#notBefore) return;
    this.#redial.reset();
    this.connect();
  }

  /**
   * Keeps a connection that stands until the one that replaces it is up: the server ends it by
   * `replaced`. One that was not up yet is dropped at once, so that it cannot come second.
   *
   * @param {Connection | null} connection  null: nothing is kept any more
   */
  #retire(connection) {
    if (connection && connection.state !== ConnectionState.CONNECTED) {
      connection.close();
      return;
    }
    this.#replaced?.close();
    this.#replaced = connection;
    connection?.ping(); // what was typed just now is there, or is sent again
  }

  /**
   * @param {string} line
   * @param {Problem | null} [problem]
   * @param {number} [retryInS]
   */
  #enter(line, problem = null, retryInS = 0) {
    this.#line = line;
    this.#emit("status", { line, problem, retryInS });
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * @param {Event} event
 * @returns {any}
 */
function detailOf(event) {
  return /** @type {CustomEvent} */ (event).detail;
}
