/**
 * A conversation: one session of the server, held over as many calls as it takes.
 *
 * It places the first call, places the next when one is lost, and takes the session over with
 * an audio call when the microphone comes. What a reload must find again lies in a `Storage`.
 *
 * Events: every message of the current call as `message`; `status` with a {@link Status};
 * `config`; `stream`, the agent's audio.
 *
 * @module conversation
 */

import { Call, CallProblem, CallState } from "./call.js";

/** @enum {string} Where the line to the server stands. */
export const Line = Object.freeze({
  /** No call; one is placed when the person does something. */
  DOWN: "down",
  DIALLING: "dialling",
  UP: "up",
  /** A call was lost; the next is placed after a while. */
  WAITING: "waiting",
});

/**
 * @typedef {object} Status
 * @property {string} line  one of {@link Line}
 * @property {boolean} audio  whether this is an audio call
 * @property {CallProblem | null} problem  why it is not up
 * @property {number} retryInS  while waiting
 */

const FIRST_WAIT_S = 0.4;
const LONGEST_WAIT_S = 10;
/** A call that stood this long was a good one: the next wait is short again. */
const GOOD_CALL_MS = 5_000;
const UNSENT_TEXTS_MAX = 20;

const STORAGE_KEY = "rtc.conversation";

export class Conversation extends EventTarget {
  #url;
  #token;
  #storage;
  #line = /** @type {string} */ (Line.DOWN);
  /** @type {Call | null} */
  #call = null;
  /** The call that the current one takes over. @type {Call | null} */
  #replaced = null;
  /** @type {MediaStream | null} */
  #microphone = null;
  #muted = false;
  /** @type {{sessionId?: string, resumeToken?: string}} */
  #known = {};
  #failures = 0;
  #upSince = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #redial;
  /** @type {string[]} Typed while no call was up. */
  #unsent = [];
  #onOnline = () => {
    if (this.#line === Line.WAITING) this.connect();
  };

  /**
   * @param {object} [options]
   * @param {string | URL} [options.url]  where the server's page is
   * @param {string | null} [options.token]  call token, where the server asks for one
   * @param {Storage} [options.storage]  what survives a reload
   */
  constructor({ url = document.baseURI, token = null, storage = sessionStorage } = {}) {
    super();
    this.#url = url;
    this.#token = token;
    this.#storage = storage;
    this.#known = JSON.parse(storage.getItem(STORAGE_KEY) ?? "{}");
    globalThis.addEventListener("online", this.#onOnline);
  }

  /** @returns {string} one of {@link Line} */
  get line() {
    return this.#line;
  }

  /** Whether the call is, or is going to be, an audio call. */
  get hasAudio() {
    return this.#microphone !== null;
  }

  /** Places a call that goes on with the session; takes over a call that stands. */
  connect() {
    clearTimeout(this.#redial);
    this.#retire(this.#call);
    const call = new Call({
      url: this.#url,
      token: this.#known.resumeToken ?? this.#token,
      sessionId: this.#known.sessionId ?? null,
      modality: this.#microphone ? null : "text",
    });
    this.#call = call;
    /** @type {(type: string, handle: (detail: any) => void) => void} */
    const when = (type, handle) =>
      call.addEventListener(type, (event) => {
        if (this.#call === call) handle(/** @type {CustomEvent} */ (event).detail);
      });
    when("config", (config) => this.#emit("config", config));
    when("placed", (placed) => this.#remember(placed));
    when("stream", (stream) => this.#emit("stream", stream));
    when("message", (message) => this.#onMessage(message));
    when("end", (problem) => this.#onEnd(problem));
    this.#enter(Line.DIALLING);
    call.start({ audio: this.#microphone });
  }

  /**
   * Goes on with the same session in an audio call.
   *
   * @param {MediaStream} microphone  is stopped here when the call is hung up
   */
  startAudio(microphone) {
    this.#stopMicrophone();
    this.#microphone = microphone;
    this.#muted = false;
    this.#failures = 0;
    this.connect();
  }

  /**
   * Sends a typed turn, or keeps it until a call is up.
   *
   * @param {string} text
   */
  sendText(text) {
    if (this.#line === Line.UP && this.#call?.sendText(text)) return;
    this.#unsent.push(text);
    if (this.#unsent.length > UNSENT_TEXTS_MAX) this.#unsent.shift();
    if (this.#line === Line.DOWN) this.connect();
  }

  /** Stops the answer that is under way. */
  interrupt() {
    this.#call?.interrupt();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#muted = muted;
    this.#call?.mute(muted);
  }

  /** Ends the call and lets go of the microphone; the session can be gone on with. */
  hangUp() {
    clearTimeout(this.#redial);
    const call = this.#call;
    this.#call = null;
    this.#retire(null);
    call?.hangUp();
    this.#stopMicrophone();
    this.#enter(Line.DOWN);
  }

  /** Hangs up and forgets the session: the next call begins a new conversation. */
  forget() {
    this.hangUp();
    this.#unsent.length = 0;
    this.#known = {};
    this.#storage.removeItem(STORAGE_KEY);
  }

  /** Hangs up for good. */
  close() {
    globalThis.removeEventListener("online", this.#onOnline);
    this.hangUp();
  }

  // ---------------------------------------------------------------------------

  /** @param {{session_id: string, resume_token?: string}} placed */
  #remember(placed) {
    this.#known = { sessionId: placed.session_id, resumeToken: placed.resume_token };
    this.#storage.setItem(STORAGE_KEY, JSON.stringify(this.#known));
  }

  /** @param {any} message */
  #onMessage(message) {
    if (message.type === "ready") this.#onReady();
    this.#emit("message", message);
    if (message.type === "ready") this.#sendUnsent();
  }

  #onReady() {
    this.#retire(null);
    this.#upSince = performance.now();
    if (this.#muted) this.#call?.mute(true);
    this.#enter(Line.UP);
  }

  #sendUnsent() {
    for (const text of this.#unsent.splice(0)) this.#call?.sendText(text);
  }

  /** @param {CallProblem | null} problem */
  #onEnd(problem) {
    const wasGood = this.#line === Line.UP && performance.now() - this.#upSince > GOOD_CALL_MS;
    if (wasGood) this.#failures = 0;
    this.#call = null;
    this.#retire(null);
    if (problem?.code === "unauthorized" && this.#known.resumeToken) {
      // The resume token is no longer good; the call token may be.
      delete this.#known.resumeToken;
      this.connect();
      return;
    }
    if (!problem?.retryable) {
      this.#stopMicrophone();
      this.#enter(Line.DOWN, problem);
      return;
    }
    const retryInS = Math.max(this.#nextWaitS(), problem.retryAfterS);
    this.#redial = setTimeout(() => this.connect(), retryInS * 1000);
    this.#enter(Line.WAITING, problem, retryInS);
  }

  /** Doubles with every failure in a row, and is jittered so that clients do not come together. */
  #nextWaitS() {
    const wait = Math.min(FIRST_WAIT_S * 2 ** this.#failures, LONGEST_WAIT_S);
    this.#failures += 1;
    return wait * (0.5 + Math.random() / 2);
  }

  /**
   * Keeps a call until the one that replaces it is up: the server ends it by `replaced`.
   * One that was not up yet is dropped at once, so that it cannot come second.
   *
   * @param {Call | null} call
   */
  #retire(call) {
    this.#replaced?.close();
    this.#replaced = call;
    if (call?.state !== CallState.CONNECTED) call?.close();
  }

  #stopMicrophone() {
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#microphone = null;
  }

  /**
   * @param {string} line
   * @param {CallProblem | null} [problem]
   * @param {number} [retryInS]
   */
  #enter(line, problem = null, retryInS = 0) {
    this.#line = line;
    this.#emit("status", { line, audio: this.hasAudio, problem, retryInS });
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
