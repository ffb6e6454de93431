/**
 * Where the agent is heard: an audio element, which the browser's echo canceller knows of.
 *
 * Browsers let a page play that was clicked on (Chromium) or that records (Safari, Firefox); an
 * audio call is both.
 *
 * Nothing lies between the connection and the element: a Web Audio graph would add its own
 * buffers, and what comes out of it is echo to some browsers.
 *
 * @module loudspeaker
 */

/**
 * Events: `blocked`, when the browser holds the sound back until the person does something;
 * `device` with a device id, when the chosen loudspeaker went and the default one is used.
 */
export class Loudspeaker extends EventTarget {
  #element;
  #deviceId = "";
  #onDevices = () => this.#follow();

  /** @param {HTMLAudioElement} [element]  in the page, or none that can be seen */
  constructor(element = new Audio()) {
    super();
    this.#element = element;
    element.autoplay = true;
    navigator.mediaDevices?.addEventListener?.("devicechange", this.#onDevices);
  }

  /** @returns {MediaStream | null} what is played */
  get stream() {
    const { srcObject } = this.#element;
    return srcObject instanceof MediaStream ? srcObject : null;
  }

  /** Whether loudspeakers can be chosen in this browser. */
  get canChoose() {
    return "setSinkId" in this.#element;
  }

  /**
   * Plays a stream from its newest sound on.
   *
   * @param {MediaStream} stream
   */
  async play(stream) {
    this.#element.srcObject = stream;
    // Once the microphone was allowed, loudspeakers can be used that could not be before.
    this.#follow();
    await this.resume();
  }

  /** Plays on, after `blocked`: to be called in a click. */
  async resume() {
    try {
      await this.#element.play();
    } catch (error) {
      const isHeldBack = error instanceof DOMException && error.name === "NotAllowedError";
      if (isHeldBack) this.#emit("blocked", null);
    }
  }

  /**
   * @param {string} deviceId  empty: the default one
   * @throws {DOMException} as setSinkId does
   */
  async choose(deviceId) {
    this.#deviceId = deviceId;
    await this.#sinkTo(deviceId);
  }

  /** Plays nothing any more; the element stays. May be called twice. */
  stop() {
    this.#element.srcObject = null;
  }

  /** May be called twice. */
  close() {
    this.stop();
    navigator.mediaDevices?.removeEventListener?.("devicechange", this.#onDevices);
  }

  /** The chosen one came back, or went. */
  async #follow() {
    if (!this.#deviceId || !this.canChoose) return;
    const devices = await navigator.mediaDevices.enumerateDevices();
    const isThere = devices.some(
      (one) => one.kind === "audiooutput" && one.deviceId === this.#deviceId,
    );
    const target = isThere ? this.#deviceId : "";
    if (this.#element.sinkId === target) return;
    await this.#sinkTo(target).catch(() => {}); // It went again meanwhile: the next event comes.
    this.#emit("device", target);
  }

  /** @param {string} deviceId */
  async #sinkTo(deviceId) {
    if (this.canChoose) await this.#element.setSinkId(deviceId);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
