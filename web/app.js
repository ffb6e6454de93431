/**
 * The call page: joins the conversation to the elements of index.html.
 *
 * @module app
 */

import { Conversation, Line } from "./conversation.js";
import { LevelMeter, openMicrophone } from "./microphone.js";
import { MICROPHONE, PROBLEMS, STATES, WORDS, answeredIn, tryingAgain } from "./strings.js";
import { Transcript } from "./transcript.js";

/** @typedef {import("./conversation.js").Status} Status */
/** @typedef {import("./call.js").CallProblem} CallProblem */

const TRANSCRIPT_KEY = "rtc.transcript";
const TOKEN_KEY = "rtc.token";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no #${id}.`);
  return element;
}

class Page {
  #agent = byId("agent", HTMLElement);
  #stateChip = byId("state", HTMLElement);
  #stateText = byId("state-text", HTMLElement);
  #scroll = byId("scroll", HTMLElement);
  #empty = byId("empty", HTMLElement);
  #notice = byId("notice", HTMLElement);
  #noticeText = byId("notice-text", HTMLElement);
  #noticeAction = byId("notice-action", HTMLButtonElement);
  #composer = byId("composer", HTMLFormElement);
  #text = byId("text", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #start = byId("start", HTMLButtonElement);
  #startText = byId("start-text", HTMLElement);
  #mute = byId("mute", HTMLButtonElement);
  #muteText = byId("mute-text", HTMLElement);
  #level = byId("level", HTMLElement);
  #interrupt = byId("interrupt", HTMLButtonElement);
  #hangUp = byId("hangup", HTMLButtonElement);
  #latency = byId("latency", HTMLElement);
  #announcer = byId("announcer", HTMLElement);
  #remote = byId("remote", HTMLAudioElement);

  #conversation = new Conversation({ token: takeToken() });
  #transcript = new Transcript(byId("transcript", HTMLOListElement), (words) => {
    this.#announcer.textContent = words;
  });
  #agentState = "initializing";
  #followsEnd = true;
  /** Whether the server has heard any of what the transcript shows. */
  #wasHeld = sessionStorage.getItem(TRANSCRIPT_KEY) !== null;
  /** @type {LevelMeter | null} */
  #meter = null;
  /** Whether the agent's next words make the notice outdated. */
  #noticeIsPassing = false;
  /** @type {(() => void) | null} */
  #action = null;

  constructor() {
    this.#transcript.restore(JSON.parse(sessionStorage.getItem(TRANSCRIPT_KEY) ?? "[]"));
    this.#listenToConversation();
    this.#listenToPerson();
    this.#onTranscriptChanged();
    this.#conversation.connect();
  }

  // ------------------------------------------------------------- conversation

  #listenToConversation() {
    /** @type {(type: string, handle: (detail: any) => void) => void} */
    const when = (type, handle) =>
      this.#conversation.addEventListener(type, (event) =>
        handle(/** @type {CustomEvent} */ (event).detail),
      );
    when("config", (config) => this.#showAgent(config.agent));
    when("status", (status) => this.#showStatus(status));
    when("stream", (stream) => this.#play(stream));
    when("message", (message) => this.#onMessage(message));
  }

  /** @param {any} message */
  #onMessage(message) {
    switch (message.type) {
      case "ready":
        this.#onReady(message);
        break;
      case "state":
        this.#agentState = message.state;
        this.#showState();
        break;
      case "agent":
        this.#showAgent(message.name);
        break;
      case "latency":
        if (message.response_ms !== undefined) this.#showLatency(message.response_ms);
        break;
      case "error":
        this.#showNotice(message.message);
        this.#noticeIsPassing = message.retryable;
        break;
      case "text":
      case "transcript":
        if (this.#noticeIsPassing && message.role !== "user") this.#hideNotice();
        break;
    }
    this.#transcript.take(message);
    this.#onTranscriptChanged();
  }

  /** @param {{agent: string, resumed: boolean}} ready */
  #onReady({ agent, resumed }) {
    this.#showAgent(agent);
    const isForgotten = !resumed && !this.#transcript.isEmpty && this.#wasHeld;
    this.#transcript.beginCall();
    if (isForgotten) this.#transcript.addNote(WORDS.forgotten);
    this.#wasHeld = true;
  }

  /** @param {MediaStream} stream */
  async #play(stream) {
    this.#remote.srcObject = stream;
    try {
      await this.#remote.play();
    } catch (error) {
      const isHeldBack = error instanceof DOMException && error.name === "NotAllowedError";
      if (isHeldBack) this.#showNotice(WORDS.silent, WORDS.hear, () => this.#remote.play());
    }
  }

  // ------------------------------------------------------------------- person

  #listenToPerson() {
    this.#composer.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendTyped();
    });
    this.#text.addEventListener("input", () => this.#showSendable());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#sendTyped();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.#conversation.interrupt();
    });
    this.#scroll.addEventListener("scroll", () => this.#noteScroll());
    new ResizeObserver(() => this.#scrollToEnd()).observe(this.#scroll);
    this.#start.addEventListener("click", () => this.#startAudio());
    this.#mute.addEventListener("click", () => this.#toggleMute());
    this.#interrupt.addEventListener("click", () => this.#conversation.interrupt());
    this.#hangUp.addEventListener("click", () => {
      this.#conversation.hangUp();
      this.#start.focus();
    });
    this.#noticeAction.addEventListener("click", () => this.#action?.());
    byId("notice-close", HTMLButtonElement).addEventListener("click", () => this.#hideNotice());
    byId("new", HTMLButtonElement).addEventListener("click", () => this.#beginAnew());
    addEventListener("pagehide", () => {
      this.#store();
      this.#conversation.hangUp();
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#conversation.connect(); // out of the back/forward cache
    });
  }

  #sendTyped() {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#hideNotice();
    this.#transcript.addTyped(text);
    this.#conversation.sendText(text);
    this.#text.value = "";
    this.#showSendable();
    this.#followsEnd = true;
    this.#onTranscriptChanged();
  }

  async #startAudio() {
    this.#hideNotice();
    this.#start.disabled = true;
    this.#startText.textContent = WORDS.startingAudio;
    try {
      const microphone = await openMicrophone();
      for (const track of microphone.getAudioTracks()) {
        track.addEventListener("ended", () => this.#showNotice(MICROPHONE.ended));
      }
      this.#showMuted(false);
      this.#meter?.close();
      this.#meter = new LevelMeter(microphone, (level) =>
        this.#level.style.setProperty("--level", level.toFixed(3)),
      );
      this.#conversation.startAudio(microphone);
      this.#mute.focus();
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "other";
      const sentences = /** @type {Record<string, string>} */ (MICROPHONE);
      this.#showNotice(sentences[name] ?? MICROPHONE.other);
    } finally {
      this.#start.disabled = false;
      this.#startText.textContent = WORDS.startAudio;
    }
  }

  #toggleMute() {
    const muted = this.#mute.getAttribute("aria-pressed") !== "true";
    this.#conversation.mute(muted);
    this.#showMuted(muted);
  }

  #beginAnew() {
    this.#conversation.forget();
    this.#transcript.clear();
    this.#wasHeld = false;
    this.#latency.hidden = true;
    this.#hideNotice();
    sessionStorage.removeItem(TRANSCRIPT_KEY);
    this.#onTranscriptChanged();
    this.#conversation.connect();
    this.#text.focus();
  }

  // ------------------------------------------------------------------ showing

  /** @param {Status} status */
  #showStatus({ line, audio, problem, retryInS }) {
    if (line !== Line.UP) this.#agentState = "initializing";
    if (!audio) {
      this.#meter?.close();
      this.#meter = null;
      this.#remote.srcObject = null;
    }
    this.#start.hidden = audio;
    this.#mute.hidden = !audio;
    this.#hangUp.hidden = !audio;
    if (line === Line.UP) this.#hideNotice();
    if (problem) this.#showProblem(problem, line === Line.WAITING ? retryInS : null);
    this.#showState();
  }

  /**
   * @param {CallProblem} problem
   * @param {number | null} retryInS  null where no further call is placed
   */
  #showProblem(problem, retryInS) {
    const sentences = /** @type {Record<string, string>} */ (PROBLEMS);
    const parts = [problem.message || sentences[problem.code] || PROBLEMS.lost];
    if (retryInS !== null) parts.push(tryingAgain(retryInS));
    const action = problem.code === "replaced" ? WORDS.continueHere : WORDS.tryAgain;
    this.#showNotice(parts.join(" "), action, () => {
      this.#hideNotice();
      this.#conversation.connect();
    });
  }

  #showState() {
    const line = this.#conversation.line;
    let state = this.#agentState;
    if (line === Line.DIALLING) state = "connecting";
    else if (line === Line.WAITING) state = "reconnecting";
    else if (line === Line.DOWN) state = "ended";
    // A text call does not listen or speak.
    let words = state;
    if (!this.#conversation.hasAudio && state === "listening") words = "ready";
    if (!this.#conversation.hasAudio && state === "speaking") words = "answering";
    this.#stateChip.dataset.state = state;
    this.#stateText.textContent = /** @type {Record<string, string>} */ (STATES)[words] ?? state;
    const isAnswering = line === Line.UP && (state === "speaking" || state === "thinking");
    if (!isAnswering && document.activeElement === this.#interrupt) this.#text.focus();
    this.#interrupt.hidden = !isAnswering;
  }

  /** @param {string} name */
  #showAgent(name) {
    this.#agent.textContent = name;
    document.title = name;
  }

  /** @param {number} responseMs */
  #showLatency(responseMs) {
    this.#latency.textContent = answeredIn(responseMs);
    this.#latency.hidden = false;
  }

  /** @param {boolean} muted */
  #showMuted(muted) {
    this.#mute.setAttribute("aria-pressed", String(muted));
    this.#muteText.textContent = muted ? WORDS.unmute : WORDS.mute;
  }

  #showSendable() {
    this.#send.disabled = this.#text.value.trim() === "";
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
  }

  /**
   * @param {string} sentence
   * @param {string} [action]  what the button says
   * @param {() => void} [act]
   */
  #showNotice(sentence, action, act) {
    this.#noticeText.textContent = sentence;
    this.#noticeAction.hidden = !action;
    this.#noticeAction.textContent = action ?? "";
    this.#action = act ?? null;
    this.#noticeIsPassing = false;
    this.#notice.hidden = false;
  }

  #hideNotice() {
    this.#notice.hidden = true;
  }

  /** The newest row is kept in sight, unless the person has scrolled up. */
  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    this.#followsEnd = scrollHeight - scrollTop - clientHeight < 80;
  }

  #scrollToEnd() {
    if (this.#followsEnd) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #onTranscriptChanged() {
    this.#empty.hidden = !this.#transcript.isEmpty;
    this.#scrollToEnd();
    this.#store();
  }

  #store() {
    if (this.#transcript.isEmpty) return;
    try {
      sessionStorage.setItem(TRANSCRIPT_KEY, JSON.stringify(this.#transcript.rows()));
    } catch {
      sessionStorage.removeItem(TRANSCRIPT_KEY); // It is full: a reload begins with an empty page.
    }
  }
}

/**
 * The call token out of `#token=…`, which is taken out of the address and kept for reloads.
 *
 * @returns {string | null}
 */
function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token) {
    sessionStorage.setItem(TOKEN_KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN_KEY);
}

new Page();
