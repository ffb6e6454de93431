/**
 * One call: a peer connection, its data channel, and the HTTP requests around them.
 *
 * A `Call` speaks the server's public contract and knows nothing of the page. Every message
 * of the data channel becomes an event of the same name (`ready`, `state`, `text`,
 * `transcript`, `turn`, `tool`, `session_state`, `agent`, `latency`, `usage`, `error`,
 * `goaway`, `pong`), with the message as its `detail`, and a `message` event besides.
 * Its own events:
 *
 * - `config`: what `GET /api/config` said;
 * - `placed`: the server's answer, without its SDP;
 * - `stream`: the agent's audio, a `MediaStream`;
 * - `statechange`: the call's `state` changed;
 * - `end`: the call is over; `detail` is a {@link CallProblem}, or null after `hangUp`.
 *
 * `end` comes exactly once, whatever went wrong and whenever: there is no other error path.
 *
 * @module call
 */

/** @enum {string} The life of a call, in this order; it never goes back. */
export const CallState = Object.freeze({
  NEW: "new",
  PLACING: "placing",
  CONNECTING: "connecting",
  CONNECTED: "connected",
  CLOSED: "closed",
});

const MESSAGE_TYPES = new Set([
  "ready",
  "state",
  "text",
  "transcript",
  "turn",
  "tool",
  "session_state",
  "agent",
  "latency",
  "usage",
  "error",
  "goaway",
  "pong",
]);

const REQUEST_TIMEOUT_MS = 20_000;
const CONNECT_TIMEOUT_MS = 15_000;
/** How long ICE may stay `disconnected` before the call is given up. */
const DISCONNECTED_GRACE_MS = 3_000;
/** The server takes 32 candidates a call. */
const CANDIDATES_MAX = 30;
/** An error that cannot be mended and the end of the call this soon after it belong together. */
const LAST_WORDS_MS = 5_000;

/**
 * @typedef {object} Config
 * @property {RTCIceServer[]} ice_servers
 * @property {string} agent
 * @property {string[]} modalities
 * @property {boolean} auth
 */

/**
 * @typedef {object} PlacedCall
 * @property {string} call_id
 * @property {string} session_id
 * @property {string} user_id
 * @property {string} [resume_token]
 */

/** Why a call could not be placed, or ended unasked. */
export class CallProblem extends Error {
  /**
   * @param {string} code  a key of `PROBLEMS` in strings.js
   * @param {object} [facts]
   * @param {string} [facts.message]  the server's own sentence
   * @param {boolean} [facts.retryable]  whether placing the same call again may help
   * @param {number} [facts.retryAfterS]  not before so many seconds
   */
  constructor(code, { message = "", retryable = true, retryAfterS = 0 } = {}) {
    super(message);
    this.name = "CallProblem";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterS = retryAfterS;
  }
}

export class Call extends EventTarget {
  #state = /** @type {string} */ (CallState.NEW);
  #api;
  #token;
  #offerFields;
  #requests = new AbortController();
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {MediaStreamTrack | null} */
  #microphone = null;
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
   * @param {string | URL} [options.url]  where the server's page is; `api/` lies beside it
   * @param {string | null} [options.token]  call token or resume token
   * @param {string | null} [options.sessionId]  the conversation to go on with
   * @param {string | null} [options.userId]
   * @param {string | null} [options.agent]
   * @param {"audio" | "text" | null} [options.modality]
   */
  constructor({
    url = document.baseURI,
    token = null,
    sessionId = null,
    userId = null,
    agent = null,
    modality = null,
  } = {}) {
    super();
    this.#api = new URL("api/", url);
    this.#token = token;
    this.#offerFields = Object.fromEntries(
      Object.entries({ session_id: sessionId, user_id: userId, agent, modality }).filter(
        ([, value]) => value,
      ),
    );
  }

  /** @returns {string} one of {@link CallState} */
  get state() {
    return this.#state;
  }

  /**
   * Places the call. Resolves when the server has answered or the call has failed; never
   * rejects: listen for `ready` and `end`.
   *
   * @param {object} [media]
   * @param {MediaStream | null} [media.audio]  the microphone, which stays the caller's to
   *   stop; without one the call is text chat
   * @returns {Promise<void>}
   */
  async start({ audio = null } = {}) {
    if (this.#state !== CallState.NEW) throw new Error("A call is started once.");
    this.#enter(CallState.PLACING);
    try {
      await this.#place(audio);
    } catch (error) {
      this.#end(error instanceof CallProblem ? error : new CallProblem("bad_answer"));
    }
  }

  /**
   * Ends the call and tells the server. May be used while the page goes away.
   */
  hangUp() {
    if (this.#callUrl && this.#state !== CallState.CLOSED) {
      const request = { method: "DELETE", headers: this.#headers(), keepalive: true };
      fetch(this.#callUrl, request).catch(() => {}); // The call ends here in any case.
    }
    this.#end(null);
  }

  /**
   * @param {string} text
   * @returns {boolean} whether it was sent
   */
  sendText(text) {
    return this.#send({ type: "text", mime_type: "text/plain", data: text });
  }

  /** Stops the answer that is under way. */
  interrupt() {
    return this.#send({ type: "interrupt" });
  }

  /**
   * Mutes or opens the microphone, and says so to the server.
   *
   * @param {boolean} muted
   */
  mute(muted) {
    if (this.#microphone) this.#microphone.enabled = !muted;
    return this.#send({ type: "mute", muted });
  }

  /** Frees everything; tells nobody. May be called twice. */
  close() {
    if (this.#state === CallState.CLOSED) return;
    clearTimeout(this.#deadline);
    clearTimeout(this.#grace);
    this.#requests.abort();
    this.#channel?.close();
    this.#pc?.close();
    this.#candidates.length = 0;
    this.#enter(CallState.CLOSED);
  }

  // ------------------------------------------------------------------ placing

  /** @param {MediaStream | null} audio */
  async #place(audio) {
    if (!("RTCPeerConnection" in globalThis)) {
      throw new CallProblem("no_webrtc", { retryable: false });
    }
    const config = /** @type {Config} */ (await this.#json("GET", "config"));
    if (this.#state === CallState.CLOSED) return;
    this.#emit("config", config);

    const pc = this.#openPeerConnection(config.ice_servers ?? [], audio);
    const offer = await pc.createOffer();
    // The offer leaves without candidates; they follow by PATCH as they are found.
    await pc.setLocalDescription(offer);
    const answer = await this.#json("POST", "calls", {
      ...this.#offerFields,
      type: "offer",
      sdp: offer.sdp,
    });
    if (this.#isClosed()) return;
    const { sdp, type, ...placed } = answer;
    this.#callUrl = new URL(`calls/${encodeURIComponent(placed.call_id)}`, this.#api);
    if (placed.resume_token) this.#token = placed.resume_token;
    this.#emit("placed", placed);
    this.#enter(CallState.CONNECTING);
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
   * @param {MediaStream | null} audio
   */
  #openPeerConnection(iceServers, audio) {
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    const heeded = { signal: this.#requests.signal };
    pc.addEventListener("icecandidate", (event) => this.#onCandidate(event.candidate), heeded);
    pc.addEventListener("connectionstatechange", () => this.#onConnectionState(), heeded);
    pc.addEventListener(
      "track",
      (event) => this.#emit("stream", event.streams[0] ?? new MediaStream([event.track])),
      heeded,
    );
    this.#channel = pc.createDataChannel("call", { ordered: true });
    this.#channel.addEventListener("message", (event) => this.#onMessage(event.data), heeded);
    this.#channel.addEventListener("close", () => this.#end(this.#lossProblem()), heeded);
    const [track] = audio?.getAudioTracks() ?? [];
    if (audio && track) {
      this.#microphone = track;
      pc.addTrack(track, audio);
    }
    return pc;
  }

  /** Asks the browser for as little playout delay as it can do with. */
  #preferLowLatency() {
    for (const receiver of this.#pc?.getReceivers() ?? []) {
      if (receiver.track.kind !== "audio") continue;
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      else if ("playoutDelayHint" in receiver) {
        /** @type {any} */ (receiver).playoutDelayHint = 0;
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
        await this.#request("PATCH", this.#callUrl, { candidates });
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
    if (typeof data !== "string") return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (!MESSAGE_TYPES.has(message?.type)) return;
    if (message.type === "ready") this.#onReady();
    if (message.type === "error" && !message.retryable) {
      this.#lastWords = new CallProblem("agent_failed", {
        message: message.message,
        retryable: false,
      });
      this.#lastWordsAt = performance.now();
    }
    this.#emit(message.type, message);
    this.#emit("message", message);
    if (message.type === "goaway") this.#onGoAway(message.reason);
  }

  #onReady() {
    clearTimeout(this.#deadline);
    this.#enter(CallState.CONNECTED);
  }

  /** @param {string} reason */
  #onGoAway(reason) {
    this.#lastWords = new CallProblem(reason, {
      retryable: !["replaced", "idle"].includes(reason),
    });
    this.#lastWordsAt = Infinity; // However long the call goes on, this is why it ends.
    if (reason === "replaced") this.#end(this.#lastWords);
  }

  /** Why the connection went: what the server said before it, or simply that it is lost. */
  #lossProblem() {
    const saidJustNow = performance.now() - this.#lastWordsAt < LAST_WORDS_MS;
    if (this.#lastWords && saidJustNow) return this.#lastWords;
    return new CallProblem(this.#state === CallState.CONNECTED ? "lost" : "never_connected");
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  // --------------------------------------------------------------------- HTTP

  #headers() {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    return headers;
  }

  /**
   * @param {string} method
   * @param {string | URL} target  below `api/`
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async #json(method, target, body) {
    const response = await this.#request(method, target, body);
    try {
      return await response.json();
    } catch {
      throw new CallProblem("bad_answer");
    }
  }

  /**
   * @param {string} method
   * @param {string | URL} target
   * @param {unknown} [body]
   * @returns {Promise<Response>} a response that is ok
   */
  async #request(method, target, body) {
    const headers = this.#headers();
    if (body !== undefined) headers["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(new URL(target, this.#api), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        signal: AbortSignal.any([this.#requests.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
    } catch {
      throw new CallProblem("unreachable");
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }

  // ------------------------------------------------------------------- states

  /** @param {CallProblem | null} problem */
  #end(problem) {
    if (this.#state === CallState.CLOSED) return;
    this.close();
    this.#emit("end", problem);
  }

  #isClosed() {
    return this.#state === CallState.CLOSED;
  }

  /** @param {string} state */
  #enter(state) {
    this.#state = state;
    this.#emit("statechange", state);
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
 * The problem that an HTTP answer (RFC 9457) tells of.
 *
 * @param {Response} response
 * @returns {Promise<CallProblem>}
 */
async function problemOf(response) {
  /** @type {{detail?: unknown, title?: unknown}} */
  const body = await response.json().catch(() => ({}));
  // Of tokens the page knows better what a person can do.
  const message = response.status === 401 ? "" : String(body?.detail ?? body?.title ?? "");
  const retryAfterS = Number(response.headers.get("retry-after")) || 0;
  const { status } = response;
  /** @type {Record<number, string>} */
  const codes = {
    401: "unauthorized",
    403: "forbidden",
    429: "too_many",
    502: "agent_unreachable",
    503: "busy",
  };
  const code = codes[status] ?? (status >= 500 ? "server_error" : "refused");
  return new CallProblem(code, {
    message,
    retryable: status === 429 || status >= 500,
    retryAfterS,
  });
}
