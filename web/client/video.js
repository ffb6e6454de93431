/**
 * What the agent is shown: a camera or a shared screen, opened on request and let go of at once.
 *
 * @module video
 */

import { CallProblem } from "./problem.js";

/** The agent looks once a second, at pictures of about this size: more would go to waste. */
const EDGE_MAX = 1280;
const FRAMES_PER_S = 5;

/** @type {Readonly<Record<string, string>>} */
const CODES = Object.freeze({
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
});

/** @typedef {"camera" | "screen" | "own"} VideoKind  own: a stream that the page has lent */

/**
 * @typedef {object} VideoChange
 * @property {"opened" | "replaced" | "ended" | "closed"} reason  ended: the camera was unplugged, or
 *   the person stopped the sharing in the browser's own bar
 * @property {VideoKind} kind  what it was, where it ended
 * @property {MediaStream | null} stream  to be previewed
 * @property {string} label  of the camera or of what is shared; empty where there is none
 */

/**
 * @typedef {object} CameraChoice
 * @property {string} [deviceId]
 * @property {"user" | "environment"} [facingMode]  the front or the back of a phone
 */

/** One source after the other; `change` events say which, with a {@link VideoChange}. */
export class Video extends EventTarget {
  /** @type {MediaStream | null} */
  #stream = null;
  #kind = /** @type {VideoKind} */ ("camera");
  #handOver;
  /** Counts what was asked for: a source that opens too late is closed again. */
  #generation = 0;

  /** @param {(track: MediaStreamTrack | null) => Promise<unknown>} handOver  sends this from now on */
  constructor(handOver) {
    super();
    this.#handOver = handOver;
  }

  /** @returns {MediaStream | null} what is shown now */
  get stream() {
    return this.#stream;
  }

  /** @returns {VideoKind | null} null while nothing is shown */
  get kind() {
    return this.#stream ? this.#kind : null;
  }

  /**
   * Opens a source and closes the one before it. To be called in a click: the browser asks the
   * person.
   *
   * @param {"camera" | "screen" | MediaStream} wanted  a stream stays the caller's to stop
   * @param {CameraChoice} [choice]
   * @returns {Promise<MediaStream | null>} null where `close` or another `open` came first
   * @throws {CallProblem} `camera_…`, `screen_…`; what was shown before is shown still, but for a
   *   camera that was to take the place of another one
   */
  async open(wanted, choice = {}) {
    const generation = ++this.#generation;
    if (wanted instanceof MediaStream) {
      this.#use(wanted, "own");
      return wanted;
    }
    // A phone has both of its cameras, but not at once.
    if (wanted === "camera" && this.#kind === "camera") this.#stop();
    let stream;
    try {
      stream = await (wanted === "screen" ? openScreen() : openCamera(choice));
    } catch (error) {
      if (generation === this.#generation && this.#isOver) this.#onEnded(this.#stream);
      throw error;
    }
    if (generation !== this.#generation) {
      for (const track of stream.getTracks()) track.stop();
      return null;
    }
    this.#use(stream, wanted);
    return stream;
  }

  /** Shows nothing any more. May be called twice; `open` opens again. */
  close() {
    this.#generation += 1;
    if (this.#stream === null) return;
    this.#put(null, this.#kind);
    this.#say("closed");
  }

  // ---------------------------------------------------------------------------

  get #isOver() {
    return this.#stream?.getVideoTracks()[0]?.readyState === "ended";
  }

  /**
   * @param {MediaStream} stream
   * @param {VideoKind} kind
   */
  #use(stream, kind) {
    const reason = this.#stream ? "replaced" : "opened";
    this.#put(stream, kind);
    const [track] = stream.getVideoTracks();
    // Both are read rather than watched: what is dropped first is the rate, not the letters.
    if (track && kind !== "own") track.contentHint = "detail";
    track?.addEventListener("ended", () => this.#onEnded(stream));
    this.#say(reason);
  }

  /** @param {MediaStream | null} stream */
  #onEnded(stream) {
    if (stream === null || this.#stream !== stream) return;
    this.#put(null, this.#kind);
    this.#say("ended");
  }

  /**
   * @param {MediaStream | null} stream
   * @param {VideoKind} kind
   */
  #put(stream, kind) {
    this.#stop(); // the camera's light goes out now, whatever is still being sent
    this.#stream = stream;
    this.#kind = kind;
    this.#handOver(stream?.getVideoTracks()[0] ?? null);
  }

  #stop() {
    if (this.#kind === "own") return;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
  }

  /** @param {VideoChange["reason"]} reason */
  #say(reason) {
    const label = this.#stream?.getVideoTracks()[0]?.label ?? "";
    const detail = { reason, kind: this.#kind, stream: this.#stream, label };
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

/** Whether this browser can share a screen: a phone's cannot. */
export function canShareScreen() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia);
}

/** @returns {Promise<MediaDeviceInfo[]>} their labels are empty before the camera was allowed */
export async function listCameras() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return all.filter((one) => one.kind === "videoinput");
}

/**
 * How a video track is encoded: for somebody who looks at one picture a second.
 *
 * @param {MediaStreamTrack | null} track
 * @returns {{maxBitrate: number, maxFramerate: number, scaleResolutionDownBy: number}}
 */
export function encodingOf(track) {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  return {
    maxBitrate: 800_000,
    maxFramerate: FRAMES_PER_S,
    scaleResolutionDownBy: Math.max(1, Math.max(width, height) / EDGE_MAX),
  };
}

/**
 * @param {CameraChoice} choice
 * @returns {Promise<MediaStream>}
 * @throws {CallProblem}
 */
function openCamera({ deviceId, facingMode }) {
  const { mediaDevices } = navigator;
  if (!mediaDevices?.getUserMedia) throw problem("camera", "insecure");
  /** @type {MediaTrackConstraints} */
  const video = {
    width: { ideal: EDGE_MAX },
    height: { ideal: 720 },
    frameRate: { ideal: 15, max: 30 },
  };
  if (deviceId) video.deviceId = { exact: deviceId };
  else if (facingMode) video.facingMode = facingMode;
  return named("camera", () => mediaDevices.getUserMedia({ video }));
}

/**
 * @returns {Promise<MediaStream>}
 * @throws {CallProblem}
 */
function openScreen() {
  if (!canShareScreen()) throw problem("screen", "unsupported");
  const video = { width: { max: EDGE_MAX }, height: { max: EDGE_MAX }, frameRate: FRAMES_PER_S };
  return named("screen", () => navigator.mediaDevices.getDisplayMedia({ video, audio: false }));
}

/**
 * @param {string} what
 * @param {() => Promise<MediaStream>} open
 */
async function named(what, open) {
  try {
    return await open();
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    throw problem(what, CODES[name] ?? "failed", error);
  }
}

/**
 * @param {string} what
 * @param {string} why
 * @param {unknown} [cause]
 */
function problem(what, why, cause) {
  return new CallProblem(`${what}_${why}`, { retryable: false, cause });
}
