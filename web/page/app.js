/**
 * The call page: joins a call to the parts of the page.
 *
 * @module app
 */

import { Call, CallProblem, Line } from "../client/call.js";
import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { byId } from "./elements.js";
import { download, fileName } from "./exports.js";
import { plainText } from "./markdown.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import { Preferences } from "./preferences.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";
import { PAGE, WORDS, answeredIn, nowUsing, tryingAgain } from "./strings.js";
import { tab } from "./storage.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./transcript_view.js";
import { translate } from "./translate.js";

/** @typedef {import("../client/call.js").Status} Status */
/** @typedef {import("../client/call.js").Config} Config */
/** @typedef {import("../client/call.js").ServerMessage} ServerMessage */
/** @typedef {import("../client/call.js").MicrophoneChange} MicrophoneChange */

const TRANSCRIPT_KEY = "rtc.transcript";
const TOKEN_KEY = "rtc.token";
/** How long a button says that it has copied. */
const COPIED_MS = 2_000;

class App {
  #preferences = new Preferences();
  #call = new Call({ ...takeFragment(), element: byId("remote", HTMLAudioElement) });
  #transcript = new Transcript();
  #notice = new Notice();
  #stage = new Stage();
  #controls = new Controls();
  #composer = new Composer();
  #settings = new Settings(this.#preferences, this.#call.canChooseSpeaker);

  #agent = byId("agent", HTMLElement);
  #scroll = byId("scroll", HTMLElement);
  #empty = byId("empty", HTMLElement);
  #latency = byId("latency", HTMLElement);
  #announcer = byId("announcer", HTMLElement);

  #agentState = "initializing";
  #followsEnd = true;
  #scrolledTo = 0;
  /** Whether the person has started audio, and not hung up since. */
  #wantsAudio = false;
  /** Fingerprint of the page that the server had when this one was loaded. */
  #page = "";
  #isStale = false;
  /** Whether it has been said that the line is down. */
  #isBackNews = false;
  /** Whether the server has heard any of what the transcript shows. */
  #wasHeld = false;

  constructor() {
    this.#restore();
    new Panel(byId("panel", HTMLElement), this.#call, {
      toggle: byId("panel-toggle", HTMLButtonElement),
      fingerprint: () => this.#page,
    });
    new TranscriptView(this.#transcript, byId("transcript", HTMLOListElement));
    this.#listenToTranscript();
    this.#listenToCall();
    this.#listenToPerson();
    this.#listenToHeader();
    this.#onTranscriptChanged();
    this.#call.setSpeaker(this.#preferences.choices.speaker).catch(() => {}); // used when it comes
    this.#call.start({ microphone: false });
  }

  // --------------------------------------------------------------------- call

  #listenToCall() {
    const call = this.#call;
    call.on("config", (config) => this.#onConfig(config));
    call.on("status", (status) => this.#onStatus(status));
    call.on("stream", (stream) => this.#stage.hearAgent(stream));
    call.on("microphone", (change) => this.#onMicrophone(change));
    call.on("muted", () => this.#show());
    call.on("speaker", () => this.#settings.refresh());
    call.on("blocked", () =>
      this.#notice.show("sound_blocked", {
        action: WORDS.hear,
        act: () => {
          this.#notice.hide();
          call.resumeSound();
        },
      }),
    );
    call.on("message", (message) => this.#onMessage(message));
  }

  /** @param {Config} config */
  #onConfig({ agent, page }) {
    this.#showAgent(agent);
    if (page === undefined) return;
    if (this.#page === "") this.#page = page;
    this.#isStale = this.#page !== page;
    if (this.#isStale) this.#onStale();
  }

  /** The server was renewed under the page. Nothing is lost by a reload, but a word half typed. */
  #onStale() {
    if (!this.#call.hasAudio && this.#composer.isEmpty) {
      this.#store();
      location.reload();
      return;
    }
    this.#notice.show("stale", { action: WORDS.reload, act: () => location.reload() });
  }

  /** Hides what has been dealt with; that the page is of yesterday is not. */
  #settleNotice() {
    if (this.#notice.code !== "stale") this.#notice.hide();
  }

  /** @param {ServerMessage} message */
  #onMessage(message) {
    switch (message.type) {
      case "ready":
        this.#onReady(message);
        break;
      case "state":
        this.#agentState = message.state;
        this.#show();
        break;
      case "agent":
        this.#showAgent(message.name);
        break;
      case "latency":
        if (message.response_ms !== undefined) this.#showLatency(message.response_ms);
        break;
      case "error":
        this.#notice.show("said", { message: message.message, isPassing: message.retryable });
        break;
      case "text":
        this.#notice.pass();
        break;
      case "transcript":
        if (message.role === "agent") this.#notice.pass();
        break;
    }
    this.#transcript.take(message);
  }

  /** @param {{agent: string, resumed: boolean}} ready */
  #onReady({ agent, resumed }) {
    this.#showAgent(agent);
    const isForgotten = !resumed && !this.#transcript.isEmpty && this.#wasHeld;
    this.#transcript.beginCall();
    if (isForgotten) this.#transcript.addNote(WORDS.forgotten);
    this.#wasHeld = true;
  }

  /** @param {Status} status */
  #onStatus({ line, audio, problem, retryInS }) {
    if (line !== Line.UP) this.#agentState = "initializing";
    if (!audio) {
      this.#stage.hearAgent(null);
      this.#stage.hearOwn(null);
    }
    if (line === Line.UP) {
      this.#settleNotice();
      if (this.#isStale) this.#onStale(); // another problem may have been shown meanwhile
      if (this.#isBackNews) this.#announce(WORDS.connected);
      this.#isBackNews = false;
    }
    if (problem) this.#showProblem(problem, line === Line.WAITING ? retryInS : null);
    this.#isBackNews ||= problem !== null;
    this.#show();
  }

  /**
   * @param {CallProblem} problem
   * @param {number | null} retryInS  null where no further call is placed
   */
  #showProblem(problem, retryInS) {
    this.#notice.show(problem.code, {
      message: problem.message,
      more: retryInS === null ? "" : tryingAgain(retryInS),
      action: problem.code === "replaced" ? WORDS.continueHere : WORDS.tryAgain,
      act: () => {
        this.#notice.hide();
        this.#goOn();
      },
    });
  }

  /** Calls at once: as it was, or with the microphone that another window took. */
  #goOn() {
    if (this.#call.line !== Line.DOWN) this.#call.redial();
    else if (this.#wantsAudio) this.#startAudio();
    else this.#call.start({ microphone: false });
  }

  // -------------------------------------------------------------------- media

  async #startAudio() {
    this.#settleNotice();
    this.#controls.showStarting(true);
    try {
      this.#call.mute(this.#preferences.choices.holdToTalk);
      await this.#call.start({ microphone: this.#preferences.microphone });
      this.#wantsAudio = true;
      this.#controls.focusMicrophone();
    } catch (error) {
      this.#onMicrophoneProblem(error);
    } finally {
      this.#controls.showStarting(false);
    }
  }

  /** @param {MicrophoneChange} change */
  #onMicrophone({ reason, stream, label }) {
    this.#stage.hearOwn(stream);
    this.#settings.refresh(); // now they have names
    if (reason === "lost") this.#notice.show("microphone_lost");
    if (reason === "unplugged" || reason === "returned") {
      this.#notice.show("device", { message: nowUsing(label), isPassing: true });
    }
  }

  async #replaceMicrophone() {
    if (!this.#call.hasAudio) return; // it is opened so when audio is started
    try {
      await this.#call.replaceMicrophone(this.#preferences.microphone);
    } catch (error) {
      this.#onMicrophoneProblem(error);
    }
  }

  /** @param {unknown} error */
  #onMicrophoneProblem(error) {
    this.#notice.show(error instanceof CallProblem ? error.code : "microphone_failed");
  }

  async #chooseSpeaker() {
    try {
      await this.#call.setSpeaker(this.#preferences.choices.speaker);
    } catch {
      this.#notice.show("speaker_failed");
    }
  }

  // ------------------------------------------------------------------- person

  #listenToPerson() {
    /** @type {(target: EventTarget, type: string, handle: (detail: any) => void) => void} */
    const when = (target, type, handle) =>
      target.addEventListener(type, (event) =>
        handle(event instanceof CustomEvent ? event.detail : undefined),
      );
    when(this.#composer, "text", (text) => this.#sendTyped(text));
    when(this.#composer, "picture", (picture) => this.#sendPicture(picture));
    when(this.#controls, "start", () => this.#startAudio());
    when(this.#controls, "mute", (muted) => this.#call.mute(muted));
    when(this.#controls, "talk", (pressed) => this.#call.pushToTalk(pressed));
    when(this.#controls, "interrupt", () => this.#call.interrupt());
    when(this.#controls, "hangup", () => {
      this.#wantsAudio = false;
      this.#call.hangUp();
    });
    when(this.#settings, "microphone", () => this.#replaceMicrophone());
    when(this.#settings, "speaker", () => this.#chooseSpeaker());
    when(this.#settings, "holdToTalk", () => {
      if (this.#call.hasAudio) this.#call.mute(this.#preferences.choices.holdToTalk);
      this.#show();
    });
    this.#scroll.addEventListener("scroll", () => this.#noteScroll());
    const sizes = new ResizeObserver(() => this.#scrollToEnd());
    sizes.observe(this.#scroll);
    sizes.observe(byId("transcript", HTMLElement));
    addEventListener("pagehide", () => this.#store());
    document.addEventListener("visibilitychange", () => this.#store());
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#call.start({ microphone: false }); // out of the browser's cache
    });
  }

  #listenToHeader() {
    /** @type {(id: string, handle: () => void) => void} */
    const onClick = (id, handle) =>
      byId(id, HTMLButtonElement).addEventListener("click", () => handle());
    onClick("new", () => this.#beginAnew());
    onClick("copy-transcript", () => this.#copyTranscript());
    onClick("download-text", () =>
      download(this.#transcript.toText(), fileName("txt"), "text/plain"),
    );
    onClick("download-json", () => {
      const json = JSON.stringify(this.#transcript.toJson(), null, 2);
      download(json, fileName("json"), "application/json");
    });
    onClick("download-text", () => byId("menu", HTMLElement).hidePopover());
    onClick("download-json", () => byId("menu", HTMLElement).hidePopover());
  }

  /** @param {string} text */
  #sendTyped(text) {
    this.#settleNotice();
    this.#followsEnd = true;
    this.#transcript.addTyped(text);
    this.#call.sendText(text);
  }

  /** @param {File} picture */
  async #sendPicture(picture) {
    try {
      if (await this.#call.sendImage(picture)) this.#transcript.addPicture(picture);
      else this.#notice.show("lost");
    } catch {
      this.#notice.show("picture_failed");
    }
  }

  #beginAnew() {
    const hadAudio = this.#call.hasAudio;
    this.#call.forget();
    this.#transcript.clear();
    this.#wasHeld = false;
    this.#latency.hidden = true;
    this.#settleNotice();
    tab.write(TRANSCRIPT_KEY, null);
    if (hadAudio) this.#startAudio();
    else this.#call.start({ microphone: false });
    this.#composer.focus();
  }

  async #copyTranscript() {
    try {
      await navigator.clipboard.writeText(this.#transcript.toText());
      this.#announce(WORDS.copied);
      const button = byId("copy-transcript", HTMLButtonElement);
      button.textContent = WORDS.copied;
      setTimeout(() => (button.textContent = PAGE.copyTranscript), COPIED_MS);
    } catch {
      byId("menu", HTMLElement).hidePopover();
      this.#notice.show("copy_failed");
    }
  }

  // ------------------------------------------------------------------ showing

  #show() {
    const { line, hasAudio, isMuted } = this.#call;
    let state = this.#agentState;
    if (line === Line.DIALLING) state = "connecting";
    else if (line === Line.WAITING) state = "reconnecting";
    else if (line === Line.DOWN) state = "ended";
    // A text call does not listen or speak.
    let words = state;
    if (!hasAudio && state === "listening") words = "ready";
    if (!hasAudio && state === "speaking") words = "answering";
    const { holdToTalk } = this.#preferences.choices;
    const closed = hasAudio && isMuted ? (holdToTalk ? "hold" : "muted") : "";
    this.#stage.show(state, { words, closed });
    this.#stage.resize(this.#transcript.isEmpty ? "large" : hasAudio ? "small" : "hidden");
    this.#controls.show({
      audio: hasAudio,
      muted: isMuted,
      holdToTalk,
      answering: line === Line.UP && (state === "speaking" || state === "thinking"),
    });
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

  /** @param {string} words  for who does not see the page */
  #announce(words) {
    this.#announcer.textContent = words;
  }

  // --------------------------------------------------------------- transcript

  #listenToTranscript() {
    this.#transcript.addEventListener("change", () => this.#onTranscriptChanged());
    this.#transcript.addEventListener("final", (event) => {
      // What is spoken aloud is not read aloud over it.
      this.#store();
      if (this.#call.hasAudio) return;
      const { entry, words } = /** @type {CustomEvent} */ (event).detail;
      this.#announce(entry.streamed ? `${WORDS.agent}: ${plainText(entry.text)}` : words);
    });
  }

  /** The newest row is kept in sight, unless the person has scrolled up. */
  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < 80;
    // Words that came since the page scrolled by itself are not a person scrolling up.
    if (isNearEnd || scrollTop < this.#scrolledTo) this.#followsEnd = isNearEnd;
    this.#scrolledTo = scrollTop;
  }

  #scrollToEnd() {
    if (this.#followsEnd) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #onTranscriptChanged() {
    if (this.#empty.hidden === this.#transcript.isEmpty) {
      this.#empty.hidden = !this.#transcript.isEmpty;
      this.#show();
    }
  }

  #restore() {
    const stored = tab.read(TRANSCRIPT_KEY);
    if (stored === null) return;
    this.#transcript.restore(stored);
    this.#wasHeld = true;
  }

  #store() {
    if (!this.#transcript.isEmpty) tab.write(TRANSCRIPT_KEY, this.#transcript.entries);
  }
}

/**
 * The call token out of `#token=…`, and the session out of `#session=…`: they are taken out of
 * the address, and the token is kept for reloads.
 *
 * @returns {{token: string | null, sessionId: string | null}}
 */
function takeFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token) tab.write(TOKEN_KEY, token);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return { token: token ?? tab.read(TOKEN_KEY), sessionId: fragment.get("session") };
}

translate(document);
new App();
