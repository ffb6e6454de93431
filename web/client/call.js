/**
 * Talk to an agent: the public face of the client library.
 *
 *     import { Call } from "./client/call.js";
 *
 *     const call = new Call();
 *     call.on("transcript", ({ role, text }) => console.log(role, text));
 *     button.onclick = () => call.start();
 *
 * A `Call` is one conversation (a session of the server), held over as many connections as it
 * takes: it places the first, places the next when one is lost, and says what happens. It opens
 * the microphone when it is started, plays the agent, and lets go of both when it is hung up
 * or the page goes away.
 *
 * Events (`on`, or `addEventListener` with the same in `detail`):
 *
 * - each message of the server's contract under its type (`MESSAGE_TYPES` of messages.js), and
 *   all of them as `message`; besides `pong`, the answer to the library's own ping;
 * - `status`: where the line to the server stands, a {@link Status};
 * - `config`: what the server says of itself before each connection;
 * - `stream`: the agent's audio, a `MediaStream`, which is already being played;
 * - `microphone`: the microphone opened, changed or went, a `MicrophoneChange`;
 * - `video`: a camera or a screen is shown to the agent, or no longer, a `VideoChange`;
 * - `blocked`: the browser holds the sound back until `resumeSound` is called in a click;
 * - `speaker`: the chosen loudspeaker went or came back, its device id (empty: the default);
 * - `muted`: true or false;
 * - `sent`: a message that left, as it was sent.
 *
 * @module call
 */

import { ClientTools } from "./client_tools.js";
import { Connections } from "./connections.js";
import { Line } from "./line.js";
import { Loudspeaker } from "./loudspeaker.js";
import { Memory, storageOfPage } from "./memory.js";
import { Microphone } from "./microphone.js";
import { Outbox } from "./outbox.js";
import { encodePicture } from "./picture.js";
import { CallProblem } from "./problem.js";
import { CallStatistics } from "./statistics.js";
import { Talk } from "./talk.js";
import { Video } from "./video.js";

export { LevelMeter } from "./level_meter.js";
export { Line } from "./line.js";
export { PROCESSING, listDevices } from "./microphone.js";
export { CallProblem } from "./problem.js";
export { canShareScreen, listCameras } from "./video.js";

/** @typedef {import("./client_tools.js").ClientTool} ClientTool */
/** @typedef {import("./api.js").Config} Config */
/** @typedef {import("./api.js").PlacedCall} PlacedCall */
/** @typedef {import("./line.js").CallEvents} CallEvents */
/** @typedef {import("./line.js").Status} Status */
/** @typedef {import("./messages.js").ServerMessage} ServerMessage */
/** @typedef {import("./messages.js").ClientMessage} ClientMessage */
/** @typedef {import("./microphone.js").MicrophoneChange} MicrophoneChange */
/** @typedef {import("./problem.js").CallProblem} Problem */
/** @typedef {import("./statistics.js").CallStats} CallStats */
/** @typedef {import("./video.js").CameraChoice} CameraChoice */
/** @typedef {import("./video.js").VideoChange} VideoChange */
/** @typedef {import("./video.js").VideoKind} VideoKind */

export class Call extends EventTarget {
  #url;
  #memory;
  #offer;
  #connections = new Connections({
    describe: () => this.#describe(),
    media: () => this.#media(),
    dropResumeToken: () => this.#memory.dropResumeToken(),
  });
  #microphone = new Microphone((track) => this.#connections.replaceTrack(track));
  #video = new Video((track) => this.#connections.replaceVideo(track));
  #loudspeaker;
  #tools;
  #talk = new Talk({
    send: (message) => this.#send(message),
    onMuted: (muted, isNews) => this.#onMuted(muted, isNews),
  });
  #statistics = new CallStatistics();
  #hasAudio = false;
  /** Whether the server looks at video; null before one has said so. @type {boolean | null} */
  #takesVideo = null;
  /** Whether the agent looks at pictures; null before a server has said so. @type {boolean | null} */
  #takesPictures = null;
  #callId = "";
  #outbox = new Outbox();
  /** Whether the browser is asking the person for the microphone. */
  #isOpening = false;
  #listening = new AbortController();

  /**
   * @param {object} [options]
   * @param {string | URL} [options.url]  where the server's page is; `api/` lies beside it
   * @param {string | null} [options.token]  call token, where the server asks for one
   * @param {string | null} [options.sessionId]  the conversation to go on with
   * @param {string | null} [options.userId]  where the server asks for no token
   * @param {string | null} [options.agent]  one of those that the server has
   * @param {"audio" | "text"} [options.modality]  `text`: the agent writes, and no microphone
   *   is opened unless `start` asks for it
   * @param {Record<string, unknown> | null} [options.runConfig]  fields that the server allows
   * @param {readonly ClientTool[]} [options.clientTools]  run on the page when the agent calls them
   * @param {HTMLAudioElement} [options.element]  plays the agent
   * @param {Storage | null} [options.storage]  remembers the session over a reload; by default
   *   the tab's own
   */
  constructor({
    url = document.baseURI,
    token = null,
    sessionId = null,
    userId = null,
    agent = null,
    modality = "audio",
    runConfig = null,
    clientTools = [],
    element,
    storage = storageOfPage(),
  } = {}) {
    super();
    this.#url = url;
    this.#memory = new Memory(storage, token, sessionId);
    this.#tools = new ClientTools(clientTools, (message) => this.#send(message));
    const client_tools = clientTools.length > 0 ? this.#tools.declarations : null;
    this.#offer = { user_id: userId, agent, modality, run_config: runConfig, client_tools };
    this.#loudspeaker = new Loudspeaker(element);
    this.#listen();
    const heeded = { signal: this.#listening.signal };
    addEventListener("online", () => this.#connections.onOnline(), heeded);
    document.addEventListener("resume", () => this.#connections.onWake(), heeded);
    document.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && this.#connections.onWake(),
      heeded,
    );
    addEventListener("pagehide", () => this.#leave({ isLeaving: true }), heeded);
  }

  /** @returns {string} one of {@link Line} */
  get line() {
    return this.#connections.line;
  }

  /** Whether the call is, or is going to be, an audio call. */
  get hasAudio() {
    return this.#hasAudio;
  }

  get isMuted() {
    return this.#talk.isMuted;
  }

  /** Whether there is text that the server is not known to have. */
  get hasUnsent() {
    return !this.#outbox.isEmpty;
  }

  /** @returns {string} empty before the first connection */
  get sessionId() {
    return this.#memory.sessionId ?? "";
  }

  /** @returns {string} of the newest connection; empty before the first */
  get callId() {
    return this.#callId;
  }

  /** @returns {MediaStream | null} the microphone */
  get microphone() {
    return this.#microphone.stream;
  }

  /** @returns {{kind: VideoKind, stream: MediaStream} | null} what the agent is shown */
  get video() {
    const { kind, stream } = this.#video;
    return kind && stream && { kind, stream };
  }

  /** @returns {boolean | null} whether the server looks at video; null before the first call */
  get takesVideo() {
    return this.#takesVideo;
  }

  /** @returns {boolean | null} whether the agent looks at pictures; null before the first call */
  get takesPictures() {
    return this.#takesPictures;
  }

  /** @returns {MediaStream | null} the agent's audio */
  get stream() {
    return this.#loudspeaker.stream;
  }

  /** Whether loudspeakers can be chosen in this browser. */
  get canChooseSpeaker() {
    return this.#loudspeaker.canChoose;
  }

  /**
   * Listens to one kind of event.
   *
   * @template {keyof CallEvents} K
   * @param {K} type
   * @param {(detail: CallEvents[K]) => void} handle
   * @returns {() => void} stops listening
   */
  on(type, handle) {
    /** @param {Event} event */
    const listener = (event) => handle(detailOf(event));
    this.addEventListener(type, listener);
    return () => this.removeEventListener(type, listener);
  }

  /**
   * Places the call, or goes on with the same session in another connection. With a microphone
   * it is to be called in a click: the browser asks the person.
   *
   * @param {object} [media]
   * @param {boolean | MediaStream | MediaTrackConstraints} [media.microphone]  false: the call
   *   is text chat; a stream stays the caller's to stop
   * @returns {Promise<boolean>} whether the server is being called: `status` says how it goes on;
   *   false where the call was hung up, or started again, while the person was being asked
   * @throws {import("./problem.js").CallProblem} the microphone cannot be opened; what stood
   *   before stands
   */
  async start({ microphone = this.#offer.modality !== "text" } = {}) {
    if (this.#isClosed) throw new Error("A closed call is not started again.");
    this.#connections.forgetTries();
    if (microphone === false) {
      this.#hasAudio = false;
      this.#microphone.close();
    } else {
      if (!(await this.#openMicrophone(microphone))) return false;
      this.#hasAudio = true;
    }
    this.#connections.connect();
    return true;
  }

  /** Goes on at once and as it was, for who does not want to wait for the next try. */
  redial() {
    if (this.#isClosed) return;
    this.#connections.forgetTries();
    this.#connections.connect();
  }

  /** Ends the call and lets go of the microphone; the session can be gone on with. */
  hangUp() {
    this.#leave();
  }

  /** @param {{isLeaving?: boolean}} [how]  as of `Connection.hangUp` */
  #leave(how) {
    this.#talk.onHangUp();
    this.#outbox.onHangUp();
    this.#connections.hangUp(how);
  }

  /** Hangs up and forgets the session: the next call begins a new conversation. */
  forget() {
    this.hangUp();
    this.#outbox.clear();
    this.#memory.forget();
    this.#callId = "";
  }

  /** Hangs up for good. May be called twice. */
  close() {
    this.hangUp();
    this.#listening.abort();
    this.#loudspeaker.close();
  }

  /**
   * Sends a typed turn, or keeps it until the line is up; calls where it is down. It is sent again,
   * in another connection, where the one that it went into was lost with it.
   *
   * @param {string} text
   * @returns {boolean} whether it was sent or kept; there is room for 256 Ki characters, and a text
   *   has to fit into one message
   */
  sendText(text) {
    if (this.#isClosed || !this.#outbox.add(text)) return false;
    if (this.line === Line.UP) this.#sendTexts();
    else if (this.line === Line.DOWN && !this.#isOpening) this.start({ microphone: false });
    return true;
  }

  /**
   * Shows the agent a picture, made small enough for one message.
   *
   * @param {Blob} picture
   * @returns {Promise<boolean>} whether it was sent: it is not kept until the line is up
   * @throws {DOMException} the browser cannot read the picture
   * @throws {import("./problem.js").CallProblem} `pictures_refused`: the agent does not look at them
   */
  async sendImage(picture) {
    this.#refuseBlind();
    const data = await encodePicture(picture);
    return this.#send({ type: "image", mime_type: "image/jpeg", data });
  }

  /** Stops the answer that is under way. */
  interrupt() {
    this.#send({ type: "interrupt" });
  }

  /**
   * Mutes or opens the microphone, in this and in later connections.
   *
   * @param {boolean} muted
   */
  mute(muted) {
    this.#talk.mute(muted);
  }

  /**
   * Hold to talk: the microphone is open from true to false, and closed from then on. Pressing
   * stops an answer that is under way. Where the model leaves it to the caller to say when
   * he speaks, it is told.
   *
   * @param {boolean} pressed
   */
  pushToTalk(pressed) {
    this.#talk.hold(pressed);
  }

  /**
   * Speaks through another microphone, or through the same one with other processing, without
   * interrupting the call.
   *
   * @param {true | MediaStream | MediaTrackConstraints} microphone
   * @throws {import("./problem.js").CallProblem} it cannot be opened; the one before it stays
   */
  async replaceMicrophone(microphone) {
    if (this.#hasAudio) await this.#microphone.open(microphone);
    else await this.start({ microphone });
  }

  /**
   * Shows the agent a camera or a shared screen, until `stopVideo`, the end of the call, or the
   * browser's own button; in every later connection, too. To be called in a click. Where the line
   * is down a text call is placed.
   *
   * @param {"camera" | "screen" | MediaStream} source  a stream stays the caller's to stop
   * @param {CameraChoice} [choice]  which camera
   * @returns {Promise<boolean>} false where it was stopped, or the call hung up, while the person was
   *   being asked
   * @throws {import("./problem.js").CallProblem} `camera_…`, `screen_…`: it cannot be opened;
   *   `video_refused`: the server does not look at video; `pictures_refused`: the agent does not
   *   look at pictures of any kind
   */
  async startVideo(source, choice = {}) {
    if (this.#isClosed) throw new Error("A closed call is not started again.");
    this.#refuseBlind();
    if (this.#takesVideo === false) throw new CallProblem("video_refused", { retryable: false });
    if ((await this.#video.open(source, choice)) === null) return false;
    if (this.line === Line.DOWN && !this.#isOpening) this.start({ microphone: false });
    return true;
  }

  /** Shows the agent nothing any more, and lets go of the camera. */
  stopVideo() {
    this.#video.close();
  }

  /**
   * Answers a `confirm`: whether the agent may do what it asked for.
   *
   * @param {string} id  of the `confirm`
   * @param {boolean} confirmed
   * @param {unknown} [payload]  what the tool asked for beside the yes, in the form it gave
   * @returns {boolean} whether it was sent
   */
  confirm(id, confirmed, payload) {
    return this.#send({
      type: "confirm",
      id,
      confirmed,
      ...(payload !== undefined && { payload }),
    });
  }

  /**
   * Plays the agent elsewhere.
   *
   * @param {string} deviceId  empty: the default loudspeaker
   * @throws {DOMException} as setSinkId does
   */
  async setSpeaker(deviceId) {
    await this.#loudspeaker.choose(deviceId);
  }

  /** Plays on after `blocked`; to be called in a click. */
  async resumeSound() {
    await this.#loudspeaker.resume();
  }

  /**
   * @returns {Promise<CallStats | null>} null where there is no connection; figures for a while
   *   are for that since the last time this was asked
   */
  async stats() {
    const { current } = this.#connections;
    const report = await current?.getStats();
    if (!report || current !== this.#connections.current) return null;
    return this.#statistics.take(report, performance.now());
  }

  // -------------------------------------------------------------- connections

  #listen() {
    /** @type {(source: EventTarget, type: string, handle: (detail: any) => void) => void} */
    const when = (source, type, handle) =>
      source.addEventListener(type, (event) => handle(detailOf(event)));
    const connections = this.#connections;
    when(connections, "config", (config) => this.#emit("config", config));
    when(connections, "placed", (placed) => this.#onPlaced(placed));
    when(connections, "stream", (stream) => this.#onStream(stream));
    when(connections, "message", (message) => this.#onMessage(message));
    when(connections, "answered", (t) => this.#outbox.onPong(t));
    when(connections, "taken", () => this.#onTaken());
    when(connections, "gone", () => this.#tools.cancelAll());
    when(connections, "lost", () => this.#outbox.onLoss());
    when(connections, "back", (connection) => this.#onBack(connection));
    when(connections, "over", () => this.#letGo());
    when(connections, "status", (status) => this.#onStatus(status));
    when(this.#loudspeaker, "blocked", () => this.#emit("blocked", null));
    when(this.#loudspeaker, "device", (device) => this.#emit("speaker", device));
    when(this.#microphone, "change", (change) => this.#emit("microphone", change));
    when(this.#video, "change", (change) => this.#emit("video", change));
  }

  #describe() {
    const modality = this.#hasAudio ? this.#offer.modality : "text";
    return {
      url: this.#url,
      token: this.#memory.token,
      offerFields: { ...this.#offer, modality, session_id: this.#memory.sessionId },
    };
  }

  #media() {
    const video = this.#video.stream?.getVideoTracks()[0] ?? null;
    return { audio: this.#hasAudio, microphone: this.#microphone.stream, video };
  }

  #onTaken() {
    this.#statistics = new CallStatistics();
    this.#tools.cancelAll();
    this.#talk.onConnection();
  }

  /** @param {PlacedCall} placed */
  #onPlaced(placed) {
    this.#callId = placed.call_id;
    this.#memory.remember(placed);
  }

  /** @param {MediaStream} stream */
  #onStream(stream) {
    this.#loudspeaker.play(stream);
    this.#emit("stream", stream);
  }

  /** @param {ServerMessage} message */
  #onMessage(message) {
    if (message.type === "pong") {
      this.#outbox.onPong(message.t);
      this.#emit("pong", message); // not among the others: it says nothing of the conversation
      return;
    }
    if (message.type === "error" && message.code === "activity_refused") {
      this.#talk.onActivityRefused(); // Nothing is amiss.
      return;
    }
    if (message.type === "ready") this.#onReady(message);
    if (message.type === "state" && message.state === "thinking") this.#outbox.onThinking();
    if (message.type === "client_tool") this.#tools.run(message);
    if (message.type === "tool" && message.phase === "cancelled") this.#tools.cancel(message.id);
    this.#emit(message.type, message);
    this.#emit("message", message);
    if (message.type === "ready") this.#sendTexts();
  }

  /** @throws {import("./problem.js").CallProblem} the agent does not look at pictures */
  #refuseBlind() {
    if (this.#takesPictures === false) {
      throw new CallProblem("pictures_refused", { retryable: false });
    }
  }

  /** @param {import("./messages.js").Ready} ready */
  #onReady({ pictures }) {
    this.#outbox.onLoss();
    this.#talk.onReady(this.#hasAudio);
    this.#takesPictures = pictures !== false; // a server that does not say so takes them
    this.#takesVideo = this.#takesPictures && Boolean(this.#connections.current?.takesVideo);
    this.#connections.stand();
  }

  #sendTexts() {
    /** @param {string} data */
    const send = (data) => this.#send({ type: "text", mime_type: "text/plain", data });
    this.#outbox.flush(send, performance.now());
  }

  /** @param {import("./connection.js").Connection} connection  that is gone on with */
  #onBack(connection) {
    this.#hasAudio = connection.hasAudio;
    if (!connection.hasAudio) this.#microphone.close();
    if (connection.stream) this.#onStream(connection.stream);
    else this.#loudspeaker.stop();
  }

  /** @param {{line: string, problem: Problem | null, retryInS: number}} status */
  #onStatus(status) {
    this.#emit("status", { ...status, audio: this.#hasAudio });
    // Up with a problem is what was gone back to: what was typed meanwhile is sent there.
    if (status.line === Line.UP && status.problem) this.#sendTexts();
  }

  // -------------------------------------------------------------------- media

  /**
   * @param {true | MediaStream | MediaTrackConstraints} microphone
   * @returns {Promise<boolean>} whether it was not closed again meanwhile
   */
  async #openMicrophone(microphone) {
    this.#isOpening = true;
    try {
      return (await this.#microphone.open(microphone)) !== null;
    } catch (error) {
      // What was typed while the person was being asked is not kept waiting.
      if (this.line === Line.DOWN && this.hasUnsent) this.#connections.connect();
      throw error;
    } finally {
      this.#isOpening = false;
    }
  }

  #letGo() {
    this.#hasAudio = false;
    this.#tools.cancelAll();
    this.#talk.letGo();
    this.#microphone.close();
    this.#video.close();
    this.#loudspeaker.stop();
  }

  get #isClosed() {
    return this.#listening.signal.aborted;
  }

  /**
   * @param {boolean} muted
   * @param {boolean} isNews
   */
  #onMuted(muted, isNews) {
    this.#microphone.mute(muted);
    if (!isNews) return;
    this.#send({ type: "mute", muted });
    this.#emit("muted", muted);
  }

  // ---------------------------------------------------------------------------

  /** @param {ClientMessage} message */
  #send(message) {
    const wasSent = this.#connections.send(message);
    if (wasSent) this.#emit("sent", message);
    return wasSent;
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
