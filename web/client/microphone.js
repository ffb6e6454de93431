/**
 * The microphone of a call: opened on request, followed when it is unplugged or comes back.
 *
 * @module microphone
 */

import { CallProblem } from "./problem.js";

/** What the browser is to do with the sound before anybody hears it. */
export const PROCESSING = Object.freeze({
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
});

/** A device that was unplugged may be announced a few times in a row. */
const SETTLE_MS = 250;

/** @type {Readonly<Record<string, string>>} */
const CODES = Object.freeze({
  NotAllowedError: "microphone_denied",
  SecurityError: "microphone_denied",
  NotFoundError: "microphone_missing",
  OverconstrainedError: "microphone_missing",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
});

/**
 * @typedef {object} MicrophoneChange
 * @property {"opened" | "replaced" | "unplugged" | "returned" | "lost" | "closed"} reason
 *   `unplugged`: another one is used instead; `lost`: there is no other one
 * @property {MediaStream | null} stream
 * @property {string} label  of the device in use; empty where there is none
 */

/**
 * One microphone after the other; `change` events say which, with a {@link MicrophoneChange}.
 */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} */
  #stream = null;
  /** Whether the stream is ours to stop. */
  #isOwned = false;
  /** How the tracks of a lent stream were lent. @type {Map<MediaStreamTrack, boolean>} */
  #lent = new Map();
  #handOver;
  /** @type {MediaTrackConstraints} */
  #wanted = {};
  #isMuted = false;
  /** Counts what was asked for: a device that opens too late is closed again. */
  #generation = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;
  /** @type {AbortController | null} */
  #following = null;

  /**
   * @param {(track: MediaStreamTrack | null) => Promise<unknown>} handOver  sends this track from
   *   now on; until it has resolved, the one before may still be sent
   */
  constructor(handOver) {
    super();
    this.#handOver = handOver;
  }

  /** @returns {MediaStream | null} what is recorded now */
  get stream() {
    return this.#stream;
  }

  /**
   * Opens a microphone and closes the one before it. To be called from a click the first time:
   * the browser asks the person.
   *
   * @param {true | MediaStream | MediaTrackConstraints} wanted  a stream stays the caller's to
   *   stop and is not followed; constraints are added to {@link PROCESSING}
   * @returns {Promise<MediaStream | null>} null where `close` or another `open` came first
   * @throws {CallProblem} `microphone_…`; the one before it stays open then
   */
  async open(wanted) {
    const generation = ++this.#generation;
    if (wanted instanceof MediaStream) {
      if (wanted !== this.#stream) this.#useForeign(wanted);
      return wanted;
    }
    const constraints = wanted === true ? {} : wanted;
    let stream = await openStream(constraints);
    if (generation === this.#generation && this.#isOwned && !isProcessed(stream, constraints)) {
      stop(stream);
      stream = await this.#openAlone(constraints);
    }
    if (generation !== this.#generation) {
      stop(stream);
      return null;
    }
    this.#wanted = constraints;
    this.#use(stream, { isOwned: true, reason: this.#stream ? "replaced" : "opened" });
    this.#follow();
    return stream;
  }

  /** @param {boolean} muted  holds for the microphones to come, too */
  mute(muted) {
    this.#isMuted = muted;
    for (const track of this.#stream?.getAudioTracks() ?? []) {
      track.enabled = !muted && (this.#lent.get(track) ?? true);
    }
  }

  /** Stops recording. May be called twice; `open` opens again. */
  close() {
    this.#generation += 1;
    this.#stopFollowing();
    if (this.#stream === null) return;
    this.#put(null);
    this.#say("closed");
  }

  // ---------------------------------------------------------------------------

  /** @param {MediaStream} stream  the caller's: no device takes its place */
  #useForeign(stream) {
    this.#stopFollowing();
    this.#use(stream, { isOwned: false, reason: this.#stream ? "replaced" : "opened" });
  }

  /**
   * @param {MediaStream} stream
   * @param {{isOwned: boolean, reason: MicrophoneChange["reason"]}} how
   */
  #use(stream, { isOwned, reason }) {
    this.#put(stream, isOwned);
    const [track] = stream.getAudioTracks();
    track?.addEventListener("ended", () => {
      if (this.#stream === stream) this.#onEnded();
    });
    this.#say(reason);
  }

  /**
   * Sends another stream, or none, and lets go of the one before it when it is sent no more: a
   * muted one must not be opened before that.
   *
   * @param {MediaStream | null} stream
   * @param {boolean} [isOwned]
   */
  #put(stream, isOwned = false) {
    const before = this.#stream;
    const letGo = this.#isOwned ? () => stop(before) : giveBack(this.#lent);
    const isStopped = stream === null && this.#isOwned;
    this.#stream = stream;
    this.#isOwned = isOwned;
    const tracks = stream?.getAudioTracks() ?? [];
    this.#lent = new Map(isOwned ? [] : tracks.map((track) => [track, track.enabled]));
    this.mute(this.#isMuted);
    const handedOver = this.#handOver(tracks[0] ?? null);
    if (isStopped)
      letGo(); // nobody waits to see the browser's sign of recording go
    else handedOver.then(letGo, letGo);
  }

  #follow() {
    if (this.#following) return;
    this.#following = new AbortController();
    navigator.mediaDevices.addEventListener(
      "devicechange",
      () => {
        clearTimeout(this.#settling);
        this.#settling = setTimeout(() => this.#onDevices(), SETTLE_MS);
      },
      { signal: this.#following.signal },
    );
  }

  /**
   * Opens a device that is processed as before for as long as it is recorded from: Chromium has
   * one processing for all that record from a device.
   *
   * @param {MediaTrackConstraints} constraints
   */
  async #openAlone(constraints) {
    stop(this.#stream);
    try {
      return await openStream(constraints);
    } catch (error) {
      this.#onEnded(); // as good as unplugged
      throw error;
    }
  }

  #stopFollowing() {
    clearTimeout(this.#settling);
    this.#following?.abort();
    this.#following = null;
  }

  /** The device was unplugged, or the browser took it away. */
  async #onEnded() {
    if (!this.#isOwned) {
      this.#put(null);
      this.#say("lost");
      return;
    }
    await this.#reopen("unplugged");
  }

  /** A microphone came or went: the wanted one is used whenever it is there. */
  async #onDevices() {
    if (this.#stream === null) {
      await this.#reopen("returned");
      return;
    }
    const wanted = deviceIdOf(this.#wanted);
    const [track] = this.#stream.getAudioTracks();
    if (!wanted || !track || track.getSettings().deviceId === wanted) return;
    const { microphones } = await listDevices();
    if (microphones.some((one) => one.deviceId === wanted)) await this.#reopen("returned");
  }

  /** @param {MicrophoneChange["reason"]} reason */
  async #reopen(reason) {
    const generation = ++this.#generation;
    let stream = null;
    try {
      stream = await openStream(this.#wanted);
    } catch {
      // There is none left: it is opened when one comes.
    }
    if (generation !== this.#generation) {
      stop(stream);
      return;
    }
    if (stream) {
      this.#use(stream, { isOwned: true, reason });
    } else if (this.#stream !== null && reason === "unplugged") {
      this.#put(null);
      this.#say("lost");
    }
  }

  /** @param {MicrophoneChange["reason"]} reason */
  #say(reason) {
    const label = this.#stream?.getAudioTracks()[0]?.label ?? "";
    const detail = { reason, stream: this.#stream, label };
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

/**
 * The devices to choose from. Their labels are empty before the microphone was allowed.
 *
 * @returns {Promise<{microphones: MediaDeviceInfo[], speakers: MediaDeviceInfo[]}>}
 */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const named = all.filter((one) => one.deviceId !== "");
  return {
    microphones: named.filter((one) => one.kind === "audioinput"),
    speakers: named.filter((one) => one.kind === "audiooutput"),
  };
}

/**
 * @param {MediaTrackConstraints} constraints
 * @returns {Promise<MediaStream>}
 * @throws {CallProblem}
 */
async function openStream(constraints) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new CallProblem("microphone_insecure", { retryable: false });
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...PROCESSING, ...constraints } });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const code = CODES[name] ?? "microphone_failed";
    throw new CallProblem(code, { retryable: false, cause: error });
  }
}

/**
 * @param {MediaStream} stream
 * @param {MediaTrackConstraints} constraints
 * @returns {boolean} whether what the browser says of the processing is what was asked for
 */
function isProcessed(stream, constraints) {
  const wanted = /** @type {Record<string, unknown>} */ ({ ...PROCESSING, ...constraints });
  const [track] = stream.getAudioTracks();
  const settings = /** @type {Record<string, unknown>} */ (track?.getSettings() ?? {});
  return Object.keys(PROCESSING).every(
    (name) => typeof wanted[name] !== typeof settings[name] || wanted[name] === settings[name],
  );
}

/**
 * @param {MediaTrackConstraints} constraints
 * @returns {string} empty where any device will do
 */
function deviceIdOf({ deviceId }) {
  if (typeof deviceId === "string") return deviceId;
  const { exact, ideal } = /** @type {ConstrainDOMStringParameters} */ (deviceId ?? {});
  return [exact ?? ideal ?? ""].flat()[0] ?? "";
}

/**
 * @param {Map<MediaStreamTrack, boolean>} lent
 * @returns {() => void}
 */
function giveBack(lent) {
  return () => {
    for (const [track, enabled] of lent) track.enabled = enabled;
  };
}

/** @param {MediaStream | null} stream */
function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
