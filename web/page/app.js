/**
 * The call page: joins a call to the parts of the page.
 *
 * @module app
 */

import { Call, CallProblem, Line } from "../client/call.js";
import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { byId } from "./elements.js";
import { Eyes } from "./eyes.js";
import { Header } from "./header.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import { Preferences } from "./preferences.js";
import { Questions } from "./questions.js";
import { forgetTranscript, restoreTranscript, storeTranscript, takeFragment } from "./reload.js";
import { Scroller } from "./scroller.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";
import { WORDS, answered, answeredIn, goesOnWith, nowUsing, unanswered } from "./strings.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./transcript_view.js";
import { translate } from "./translate.js";

/** @typedef {import("../client/call.js").Status} Status */
/** @typedef {import("../client/call.js").Config} Config */
/** @typedef {import("../client/call.js").ServerMessage} ServerMessage */
/** @typedef {import("../client/call.js").MicrophoneChange} MicrophoneChange */

class App {
  #preferences = new Preferences();
  #call = new Call({ ...takeFragment(), element: byId("remote", HTMLAudioElement) });
  #transcript = new Transcript();
  #notice = new Notice();
  #stage = new Stage();
  #controls = new Controls();
  #composer = new Composer();
  #settings = new Settings(this.#preferences, this.#call.canChooseSpeaker);
  #header = new Header(this.#transcript);
  #eyes = new Eyes(this.#call);
  #questions = new Questions();
  #scroller = new Scroller(byId("scroll", HTMLElement), byId("transcript", HTMLElement));

  #empty = byId("empty", HTMLElement);
  #latency = byId("latency", HTMLElement);
  #announcer = new Announcer();

  #agentState = "initializing";
  /** Whether the call waits for the agent's model. */
  #isModelAway = false;
  /** Whether the browser is asking the person for the microphone. */
  #isStarting = false;
  /** Whether the person has started audio, and not hung up since. */
  #wantsAudio = false;
  /** Whether the person has muted, beside what hold to talk does. */
  #isMutedByHand = false;
  /** The speaker that worked last. */
  #speaker = this.#preferences.choices.speaker;
  /** Fingerprint of the page that the server had when this one was loaded. */
  #page = "";
  #isStale = false;
  /** Whether it has been said that the line is down. */
  #isBackNews = false;
  /** Whether the server has heard any of what the transcript shows. */
  #wasHeld = false;

  constructor() {
    this.#wasHeld = restoreTranscript(this.#transcript, this.#call.sessionId);
    new Panel(byId("panel", HTMLElement), this.#call, {
      toggle: byId("panel-toggle", HTMLButtonElement),
      fingerprint: () => this.#page,
    });
    new TranscriptView(this.#transcript, byId("transcript", HTMLOListElement));
    this.#listenToTranscript();
    this.#listenToCall();
    this.#listenToPerson();
    this.#listenToQuestions();
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
    this.#header.showAgent(agent);
    if (page === undefined) return;
    if (this.#page === "") this.#page = page;
    this.#isStale = this.#page !== page;
    if (this.#isStale) this.#onStale();
  }

  /**
   * The server was renewed under the page. It loads itself anew where nothing is lost by it: no
   * microphone is open, no word half typed, and none that the server may not have got.
   */
  #onStale() {
    const isIdle = !this.#call.hasAudio && !this.#isStarting;
    if (isIdle && this.#composer.isEmpty && !this.#call.hasUnsent) {
      this.#store();
      location.reload();
      return;
    }
    this.#notice.show("stale", { action: WORDS.reload, act: () => location.reload() });
  }

  /** Hides what has been dealt with: not that the page is of yesterday, or nobody is heard. */
  #settleNotice() {
    const { code } = this.#notice;
    if (code === "stale" || (code === "microphone_lost" && this.#isDeaf)) return;
    this.#notice.hide();
  }

  /** Whether this is an audio call whose microphone is gone. */
  get #isDeaf() {
    return this.#call.hasAudio && this.#call.microphone === null;
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
        this.#header.showAgent(message.name);
        break;
      case "model":
        this.#onModel(message);
        break;
      case "confirm":
        this.#questions.ask(message);
        break;
      case "tool":
        if (message.phase === "cancelled") this.#questions.withdraw(message.id);
        break;
      case "latency":
        if (message.response_ms !== undefined) this.#showLatency(message.response_ms);
        break;
      case "error":
        this.#notice.show("said", {
          message: message.message,
          // What was refused for its number is not made good by the answer to what was not.
          isPassing: message.retryable && message.code !== "rate_limited",
        });
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
    this.#agentState = "initializing"; // a connection that is gone back to says nothing anew
    this.#isModelAway = false;
    this.#show();
    this.#header.showAgent(agent);
    const isForgotten = !resumed && !this.#transcript.isEmpty && this.#wasHeld;
    this.#transcript.beginCall();
    if (isForgotten) this.#transcript.addNote(WORDS.forgotten);
    this.#wasHeld = true;
  }

  /**
   * The model is away, and the call waits for it; or it, or another one, is back.
   *
   * @param {{state: string, name?: string}} model
   */
  #onModel({ state, name }) {
    this.#isModelAway = state === "away";
    if (this.#isModelAway) {
      this.#notice.show("model_away");
    } else {
      if (this.#notice.code === "model_away" || this.#notice.code === "said") this.#notice.hide();
      if (name) this.#notice.show("model", { message: goesOnWith(name), isPassing: true });
      else this.#announcer.say(WORDS.modelBack);
    }
    this.#show();
  }

  /** @param {Status} status */
  #onStatus({ line, audio, problem, retryInS }) {
    if (!audio) {
      this.#stage.hearAgent(null);
      this.#stage.hearOwn(null);
    }
    if (line !== Line.UP) this.#questions.withdrawAll(); // who asked is gone
    if (line === Line.DIALLING) this.#notice.countDown(this.#notice.isCounting ? 0 : null);
    if (line === Line.UP) {
      this.#wantsAudio = audio;
      if (audio) this.#announcer.hush();
      this.#settleNotice();
      if (this.#isDeaf) this.#notice.show("microphone_lost"); // still, after what came between
      if (this.#isStale) this.#onStale(); // another problem may have been shown meanwhile
      if (this.#isBackNews) this.#announcer.say(WORDS.connected);
      this.#isBackNews = false;
    }
    if (problem) this.#showProblem(problem, line === Line.WAITING ? retryInS : null);
    this.#isBackNews ||= problem !== null && line !== Line.UP;
    this.#show();
  }

  /**
   * @param {CallProblem} problem
   * @param {number | null} retryInS  null where no further call is placed
   */
  #showProblem(problem, retryInS) {
    this.#notice.show(problem.code, {
      message: problem.message,
      retryInS,
      action: problem.code === "replaced" ? WORDS.continueHere : WORDS.tryAgain,
      act: () => {
        this.#notice.hide();
        this.#goOn();
      },
    });
  }

  /**
   * Calls at once: as it was, or with the microphone that another window took. Where the line is
   * up it is audio that was refused.
   */
  #goOn() {
    if (this.#call.line === Line.UP) this.#startAudio();
    else if (this.#call.line !== Line.DOWN) this.#call.redial();
    else if (this.#wantsAudio) this.#startAudio();
    else this.#call.start({ microphone: false });
  }

  // -------------------------------------------------------------------- media

  /** Nobody is heard who has not unmuted: a start mutes where one holds to talk, and opens nothing. */
  async #startAudio() {
    this.#settleNotice();
    this.#isStarting = true;
    this.#controls.showStarting(true);
    try {
      if (this.#preferences.choices.holdToTalk) this.#call.mute(true);
      const isPlaced = await this.#call.start({ microphone: this.#preferences.microphone });
      if (!isPlaced) return; // hung up, or started again, meanwhile
      this.#wantsAudio = true;
      this.#controls.focusMicrophone();
    } catch (error) {
      this.#onMicrophoneProblem(error);
    } finally {
      this.#isStarting = false;
      this.#controls.showStarting(false);
    }
  }

  /** @param {MicrophoneChange} change */
  #onMicrophone({ reason, stream, label }) {
    this.#stage.hearOwn(stream);
    this.#settings.refresh(); // now they have names
    if (stream !== null && this.#notice.code === "microphone_lost") this.#notice.hide();
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
    const { speaker } = this.#preferences.choices;
    try {
      await this.#call.setSpeaker(speaker);
      this.#speaker = speaker;
    } catch {
      this.#notice.show("speaker_failed");
      if (this.#preferences.choices.speaker !== speaker) return; // another one was chosen meanwhile
      this.#preferences.choose({ speaker: this.#speaker });
      this.#call.setSpeaker(this.#speaker).catch(() => {}); // used when it comes
      this.#settings.refresh();
    }
  }

  // ------------------------------------------------------------------- person

  #listenToPerson() {
    /** @type {(target: EventTarget, type: string, handle: (detail: any) => void) => void} */
    const when = (target, type, handle) =>
      target.addEventListener(type, (event) =>
        handle(event instanceof CustomEvent ? event.detail : undefined),
      );
    this.#composer.addEventListener("text", (event) => {
      if (!this.#sendTyped(/** @type {CustomEvent} */ (event).detail)) event.preventDefault();
    });
    when(this.#composer, "picture", (picture) => this.#sendPicture(picture));
    when(this.#controls, "start", () => this.#startAudio());
    when(this.#controls, "mute", (muted) => this.#mute(muted));
    when(this.#controls, "talk", (pressed) => this.#call.pushToTalk(pressed));
    when(this.#controls, "interrupt", () => this.#call.interrupt());
    when(this.#controls, "hangup", () => this.#hangUp());
    when(this.#settings, "microphone", () => this.#replaceMicrophone());
    when(this.#settings, "speaker", () => this.#chooseSpeaker());
    when(this.#settings, "holdToTalk", () => {
      this.#call.mute(this.#preferences.choices.holdToTalk || this.#isMutedByHand);
      this.#show();
    });
    when(this.#header, "new", () => this.#beginAnew());
    when(this.#header, "uncopied", () => this.#notice.show("copy_failed"));
    when(this.#header, "news", (words) => this.#announcer.say(words));
    when(this.#eyes, "problem", (code) => this.#notice.show(code));
    when(this.#eyes, "news", (words) => this.#announcer.say(words));
    addEventListener("pagehide", () => this.#store());
    document.addEventListener("visibilitychange", () => this.#store());
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#call.start({ microphone: false }); // out of the browser's cache
    });
  }

  #listenToQuestions() {
    this.#questions.addEventListener("asked", () => {
      const isRead = byId("question", HTMLElement).contains(document.activeElement);
      if (!isRead) this.#announcer.say(WORDS.isAsked); // who types is not torn away
    });
    this.#questions.addEventListener("answer", (event) => {
      const { asked, confirmed, payload } = /** @type {CustomEvent} */ (event).detail;
      this.#call.confirm(asked.id, confirmed, payload);
      this.#transcript.addNote(answered(asked.name, confirmed));
    });
    this.#questions.addEventListener("expired", (event) => {
      const { asked } = /** @type {CustomEvent} */ (event).detail;
      this.#transcript.addNote(unanswered(asked.name));
      this.#announcer.say(unanswered(asked.name));
    });
  }

  /** @param {boolean} muted */
  #mute(muted) {
    this.#isMutedByHand = muted;
    this.#call.mute(muted);
  }

  /** The next start is a new one: it does not begin muted. */
  #hangUp() {
    this.#wantsAudio = false;
    this.#latency.hidden = true;
    this.#call.hangUp();
    this.#mute(false);
  }

  /**
   * @param {string} text
   * @returns {boolean} whether it is sent, or kept until it can be
   */
  #sendTyped(text) {
    this.#settleNotice();
    if (!this.#call.sendText(text)) {
      this.#notice.show("no_room");
      return false;
    }
    this.#scroller.follow();
    this.#transcript.addTyped(text);
    return true;
  }

  /** @param {File} picture */
  async #sendPicture(picture) {
    try {
      if (await this.#call.sendImage(picture)) this.#transcript.addPicture(picture);
      else this.#notice.show("lost");
    } catch (error) {
      this.#notice.show(error instanceof CallProblem ? error.code : "picture_failed");
    }
  }

  #beginAnew() {
    const hadAudio = this.#call.hasAudio;
    this.#call.forget();
    this.#transcript.clear();
    this.#announcer.clear();
    this.#wasHeld = false;
    this.#latency.hidden = true;
    this.#settleNotice();
    forgetTranscript();
    if (hadAudio) this.#startAudio();
    else this.#call.start({ microphone: false });
    this.#composer.focus();
  }

  // ------------------------------------------------------------------ showing

  #show() {
    const { line, hasAudio, isMuted } = this.#call;
    let state = this.#agentState;
    if (line === Line.DIALLING) state = "connecting";
    else if (line === Line.WAITING) state = "reconnecting";
    else if (line === Line.DOWN) state = "ended";
    else if (this.#isModelAway) state = "away";
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

  /** @param {number} responseMs */
  #showLatency(responseMs) {
    this.#latency.textContent = answeredIn(responseMs);
    this.#latency.hidden = false;
  }

  // --------------------------------------------------------------- transcript

  #listenToTranscript() {
    this.#transcript.addEventListener("change", () => this.#onTranscriptChanged());
    this.#transcript.addEventListener("final", (event) => {
      // What is spoken aloud is not read aloud over it.
      this.#store();
      if (this.#call.hasAudio) return;
      const { entry, words } = /** @type {CustomEvent} */ (event).detail;
      if (entry.streamed) this.#announcer.sayAnswer(entry.text);
      else this.#announcer.say(words);
    });
  }

  #onTranscriptChanged() {
    if (this.#empty.hidden === this.#transcript.isEmpty) {
      this.#empty.hidden = !this.#transcript.isEmpty;
      this.#show();
    }
  }

  #store() {
    storeTranscript(this.#transcript, this.#call.sessionId);
  }
}

translate(document);
new App();
