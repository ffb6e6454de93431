/**
 * One connection: a peer connection, its data channel, and the HTTP requests around them.
 *
 * It speaks the server's contract and is used once. Its events:
 *
 * - `config`: what `GET /api/config` said;
 * - `placed`: the server's answer, without its SDP;
 * - `stream`: the agent's audio, a `MediaStream`;
 * - `message`: each message of the data channel;
 * - `end`: it is over; `detail` is a {@link CallProblem}, or null after `hangUp`.
 *
 * `end` comes exactly once, whatever went wrong and whenever: there is no other error path.
 *
 * @module connection
 */

import { Api } from "./api.js";
import { Liveness } from "./liveness.js";
import { MESSAGE_TYPES } from "./messages.js";
import { CallProblem } from "./problem.js";
import { encodingOf } from "./video.js";

/** @typedef {import("./api.js").Config} Config */
/** @typedef {import("./api.js").PlacedCall} PlacedCall */
/** @typedef {import("./messages.js").ServerMessage} ServerMessage */
/** @typedef {import("./messages.js").ClientMessage} ClientMessage */

/** @enum {string} The life of a connection, in this order; it never goes back. */
export const ConnectionState = Object.freeze({
  NEW: "new",
  PLACING: "placing",
  CONNECTING: "connecting",
  CONNECTED: "connected",
  CLOSED: "closed",
});

const CONNECT_TIMEOUT_MS = 15_000;
/** How long ICE may stay `disconnected` before the connection is given up. */
const DISCONNECTED_GRACE_MS = 3_000;
/** A server that learns of the end by the connection's first has no call left to end (404). */
const FAREWELL_MS = 1_000;
/** The server takes 32 candidates a call. */
const CANDIDATES_MAX = 30;
/** An error that cannot be mended and the end of the call this soon after it belong together. */
const LAST_WORDS_MS = 5_000;

export class Connection extends EventTarget {
  #state = /** @type {string} */ (ConnectionState.NEW);
  #api;
  #offerFields;
  #listening = new AbortController();
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {RTCRtpTransceiver | null} */
  #transceiver = null;
  /** Carries nothing until there is something to be seen. @type {RTCRtpTransceiver | null} */
  #video = null;
  /** The request that ends the call. @type {Promise<unknown> | null} */
  #farewell = null;
  #hasAudio = false;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Liveness | null} */
  #liveness = null;
  /** @type {URL | null} */
  #callUrl = null;
  /** @type {{candidate: string, sdpMid: string | null, sdpMLineIndex: number | null}[]} */
  #candidates = [];
  #candidatesSeen = 0;
  #trickling = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #deadline;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #grace;
  /** @type {CallProblem | null} */
  #lastWords = null;
  #lastWordsAt = 0;

  /**
   * @param {object} options
   * @param {string | URL} options.url  where the server's page is; `api/` lies beside it
   * @param {string | null} options.token  call token or resume token
   * @param {Record<string, unknown>} options.offerFields  fields of the offer beside its SDP;
   *   empty ones are left out
   */
  constructor({ url, token, offerFields }) {
    super();
    this.#api = new Api(url, token);
    this.#offerFields = Object.fromEntries(
      Object.entries(offerFields).filter(([, value]) => Boolean(value)),
    );
  }

  /** @returns {string} one of {@link ConnectionState} */
  get state() {
    return this.#state;
  }

  /** Whether it is an audio call. */
  get hasAudio() {
    return this.#hasAudio;
  }

  /** Whether the server has said that it looks at video. */
  get takesVideo() {
    return this.#video?.currentDirection === "sendonly";
  }

  /** @returns {MediaStream | null} the agent's audio */
  get stream() {
    return this.#stream;
  }

  /**
   * Places the call. Resolves when the server has answered or the call has failed; never
   * rejects: listen for the `ready` message and for `end`.
   *
   * @param {object} media
   * @param {boolean} media.audio  else the call is text chat
   * @param {MediaStream | null} [media.microphone]  stays its owner's to stop; where there is none,
   *   `replaceTrack` brings it later
   * @param {MediaStreamTrack | null} [media.video]  as the microphone; `replaceVideo` brings it later
   * @returns {Promise<void>}
   */
  async start({ audio, microphone = null, video = null }) {
    if (this.#state !== ConnectionState.NEW) throw new Error("A connection is started once.");
    this.#state = ConnectionState.PLACING;
    this.#hasAudio = audio;
    try {
      await this.#place(microphone, video);
    } catch (error) {
      const problem = new CallProblem("bad_answer", { cause: error });
      this.#end(error instanceof CallProblem ? error : problem);
    }
  }

  /**
   * Ends the call and tells the server.
   *
   * @param {{isLeaving?: boolean}} [how]  the page goes away: nothing of it may stay open, or the
   *   browser keeps no page to come back to
   */
  hangUp({ isLeaving = false } = {}) {
    if (this.#isClosed()) return;
    const farewell = this.#callUrl && this.#api.delete(this.#callUrl);
    if (!isLeaving) this.#farewell = farewell;
    this.#end(null);
  }

  /**
   * @param {ClientMessage} message
   * @returns {boolean} whether it was sent
   */
  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** Asks for a sign of life, which says as well that all that was sent before has arrived. */
  ping() {
    this.send({ type: "ping", t: Math.floor(performance.now()) });
  }

  /**
   * Speaks through another microphone, without negotiating anew.
   *
   * @param {MediaStreamTrack | null} track
   */
  async replaceTrack(track) {
    if (this.#pc?.signalingState === "closed") return; // one that takes its leave still holds it
    await this.#transceiver?.sender.replaceTrack(track);
  }

  /**
   * Shows something else, or nothing, without negotiating anew.
   *
   * @param {MediaStreamTrack | null} track
   */
  async replaceVideo(track) {
    const sender = this.#video?.sender;
    if (!sender || this.#pc?.signalingState === "closed") return;
    const parameters = sender.getParameters();
    for (const one of parameters.encodings) {
      one.active = track !== null; // Firefox goes on with the last frame, once a second
      if (track !== null) Object.assign(one, encodingOf(track));
    }
    // Before its first frame; there are none before an answer has come.
    if (parameters.encodings.length > 0) await sender.setParameters(parameters);
    await sender.replaceTrack(track);
  }

  /** @returns {Promise<RTCStatsReport> | null} null before there is a connection, and after */
  getStats() {
    return this.#isClosed() ? null : (this.#pc?.getStats() ?? null);
  }

  /** Frees everything; tells nobody. May be called twice. */
  close() {
    if (this.#isClosed()) return;
    this.#state = ConnectionState.CLOSED;
    clearTimeout(this.#deadline);
    clearTimeout(this.#grace);
    this.#liveness?.close();
    this.#api.close();
    this.#listening.abort();
    this.#candidates.length = 0;
    const leave = () => this.#pc?.close();
    if (this.#farewell === null) leave();
    else Promise.race([this.#farewell, afterMs(FAREWELL_MS)]).then(leave);
  }

  // ------------------------------------------------------------------ placing

  /**
   * @param {MediaStream | null} microphone
   * @param {MediaStreamTrack | null} video
   */
  async #place(microphone, video) {
    if (!("RTCPeerConnection" in globalThis)) {
      throw new CallProblem("no_webrtc", { retryable: false });
    }
    const config = await this.#api.config();
    if (this.#isClosed()) return;
    this.#emit("config", config);

    const pc = this.#openPeerConnection(config.ice_servers ?? [], microphone);
    await this.replaceVideo(video);
    const offer = await pc.createOffer();
    // The offer leaves without candidates; they follow by PATCH as they are found.
    await pc.setLocalDescription(offer);
    const answer = await this.#api.place({ ...this.#offerFields, type: "offer", sdp: offer.sdp });
    const { sdp, type, ...placed } = answer;
    this.#callUrl = this.#api.urlOf(placed.call_id);
    if (placed.resume_token) this.#api.useToken(placed.resume_token);
    if (this.#isClosed()) {
      this.#api.delete(this.#callUrl); // nobody will come to that call
      return;
    }
    this.#emit("placed", placed);
    if (this.#isClosed()) return;
    this.#state = ConnectionState.CONNECTING;
    this.#deadline = setTimeout(
      () => this.#end(new CallProblem("never_connected")),
      CONNECT_TIMEOUT_MS,
    );
    this.#trickle();
    await pc.setRemoteDescription({ type, sdp });
    this.#preferLowLatency();
  }

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStream | null} microphone
   */
  #openPeerConnection(iceServers, microphone) {
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    const heeded = { signal: this.#listening.signal };
    pc.addEventListener("icecandidate", (event) => this.#onCandidate(event.candidate), heeded);
    pc.addEventListener("connectionstatechange", () => this.#onConnectionState(), heeded);
    pc.addEventListener(
      "track",
      (event) => this.#onTrack(event.streams[0] ?? new MediaStream([event.track])),
      heeded,
    );
    this.#channel = pc.createDataChannel("call", { ordered: true });
    this.#channel.addEventListener("message", (event) => this.#onMessage(event.data), heeded);
    this.#channel.addEventListener("close", () => this.#end(this.#lossProblem()), heeded);
    if (this.#hasAudio) {
      const [track] = microphone?.getAudioTracks() ?? [];
      const streams = microphone ? [microphone] : [];
      this.#transceiver = pc.addTransceiver(track ?? "audio", { direction: "sendrecv", streams });
    }
    this.#video = openVideo(pc);
    return pc;
  }

  /** @param {MediaStream} stream */
  #onTrack(stream) {
    this.#stream = stream;
    this.#emit("stream", stream);
  }

  /** Asks the browser for as little playout delay as the network lets it do with. */
  #preferLowLatency() {
    for (const receiver of this.#pc?.getReceivers() ?? []) {
      if (receiver.track.kind !== "audio") continue;
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      else if ("playoutDelayHint" in receiver) {
        /** @type {{playoutDelayHint: number}} */ (receiver).playoutDelayHint = 0;
      }
    }
  }

  // ------------------------------------------------------------------ trickle

  /** @param {RTCIceCandidate | null} candidate  null when all have been found */
  #onCandidate(candidate) {
    if (candidate === null) {
      if (this.#candidatesSeen === 0) this.#end(new CallProblem("no_candidates"));
      else this.#queueCandidate({ candidate: "", sdpMid: null, sdpMLineIndex: 0 });
      return;
    }
    if (candidate.candidate === "") return; // the end for one generation; null follows
    this.#candidatesSeen += 1;
    // The server speaks ICE over UDP only, and takes a bounded number.
    if (candidate.protocol === "tcp" || this.#candidatesSeen > CANDIDATES_MAX) return;
    const { sdpMid, sdpMLineIndex } = candidate;
    this.#queueCandidate({ candidate: candidate.candidate, sdpMid, sdpMLineIndex });
  }

  /** @param {{candidate: string, sdpMid: string | null, sdpMLineIndex: number | null}} candidate */
  #queueCandidate(candidate) {
    this.#candidates.push(candidate);
    this.#trickle();
  }

  /** Sends what has been found so far; what is found meanwhile makes the next batch. */
  async #trickle() {
    if (this.#trickling || !this.#callUrl) return;
    this.#trickling = true;
    try {
      while (this.#candidates.length > 0 && !this.#isClosed()) {
        const candidates = this.#candidates.splice(0);
        await this.#api.request("PATCH", this.#callUrl, { body: { candidates } });
      }
    } catch {
      // A refused candidate need not matter: the deadline decides whether the call came about.
    } finally {
      this.#trickling = false;
    }
  }

  #onConnectionState() {
    clearTimeout(this.#grace);
    switch (this.#pc?.connectionState) {
      case "disconnected":
        this.#grace = setTimeout(() => this.#end(this.#lossProblem()), DISCONNECTED_GRACE_MS);
        break;
      case "failed":
      case "closed":
        this.#end(this.#lossProblem());
        break;
    }
  }

  // ------------------------------------------------------------- data channel

  /** @param {unknown} data */
  #onMessage(data) {
    this.#liveness?.heard();
    const message = parse(data);
    if (message === null) return;
    if (message.type === "pong") this.#liveness?.answered();
    if (message.type === "ready") this.#onReady();
    if (message.type === "error" && !message.retryable) {
      const facts = { message: message.message, retryable: false };
      this.#lastWords = new CallProblem("agent_failed", facts);
      this.#lastWordsAt = performance.now();
    }
    this.#emit("message", message);
    if (message.type === "goaway") this.#onGoAway(message.reason);
  }

  #onReady() {
    clearTimeout(this.#deadline);
    if (this.#isClosed()) return;
    this.#state = ConnectionState.CONNECTED;
    this.#liveness ??= new Liveness({
      ping: () => this.ping(),
      countPackets: () => this.#countPackets(),
      onDead: () => this.#end(this.#lossProblem()),
    });
  }

  /** @returns {Promise<number>} what has arrived over the wire, messages or not */
  async #countPackets() {
    let packets = 0;
    for (const stat of (await this.getStats())?.values() ?? []) {
      if (stat.type === "transport") packets += stat.packetsReceived ?? 0;
      if (stat.type === "candidate-pair") packets += stat.responsesReceived ?? 0;
    }
    return packets;
  }

  /** @param {string} reason */
  #onGoAway(reason) {
    const retryable = !["replaced", "idle"].includes(reason);
    this.#lastWords = new CallProblem(reason, { retryable });
    this.#lastWordsAt = Infinity; // However long the call goes on, this is why it ends.
    if (reason === "replaced") this.#end(this.#lastWords);
  }

  /** Why the connection went: what the server said before it, or simply that it is lost. */
  #lossProblem() {
    const saidJustNow = performance.now() - this.#lastWordsAt < LAST_WORDS_MS;
    if (this.#lastWords && saidJustNow) return this.#lastWords;
    return new CallProblem(this.#state === ConnectionState.CONNECTED ? "lost" : "never_connected");
  }

  // --------------------------------------------------------------------- end

  /** @param {CallProblem | null} problem */
  #end(problem) {
    if (this.#isClosed()) return;
    this.close();
    this.#emit("end", problem);
  }

  #isClosed() {
    return this.#state === ConnectionState.CLOSED;
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
 * A section that is offered in every call, so that switching a camera on negotiates nothing.
 *
 * @param {RTCPeerConnection} pc
 */
function openVideo(pc) {
  const sendEncodings = [encodingOf(null)];
  const video = pc.addTransceiver("video", { direction: "sendonly", sendEncodings });
  // Nothing comes this way; and a page with a live track is not kept to come back to.
  video.receiver.track.stop();
  // One codec that everybody has: the others would be most of the offer.
  const wanted = ["video/vp8", "video/rtx"];
  const codecs = RTCRtpSender.getCapabilities("video")?.codecs.filter(({ mimeType }) =>
    wanted.includes(mimeType.toLowerCase()),
  );
  if (codecs?.some(({ mimeType }) => mimeType.toLowerCase() === wanted[0])) {
    video.setCodecPreferences?.(codecs);
  }
  return video;
}

/**
 * @param {unknown} data
 * @returns {ServerMessage | null} null for what this version does not know
 */
function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const message = JSON.parse(data);
    return MESSAGE_TYPES.has(message?.type) ? message : null;
  } catch {
    return null;
  }
}

/** @param {number} ms */
function afterMs(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
