/**
 * The microphone, and how loud it is.
 *
 * @module microphone
 */

/**
 * Opens the microphone. To be called from a click: the browser may ask the person.
 *
 * @returns {Promise<MediaStream>}
 * @throws {DOMException} as getUserMedia does; `InsecureContext` where the page gets none
 */
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new DOMException("No microphone outside a secure context.", "InsecureContext");
  }
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
}

/** Calls back, once a frame, with how loud a stream is. */
export class LevelMeter {
  #context = new AudioContext();
  #analyser = this.#context.createAnalyser();
  #samples;
  #show;
  #frame = 0;

  /**
   * @param {MediaStream} stream
   * @param {(level: number) => void} show  gets 0 (-60 dBFS or less) to 1 (full scale)
   */
  constructor(stream, show) {
    this.#show = show;
    this.#analyser.fftSize = 512;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  #measure() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const decibel = 10 * Math.log10(sum / this.#samples.length + 1e-9);
    this.#show(Math.min(1, Math.max(0, 1 + decibel / 60)));
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  /** Stops measuring; the stream stays open. May be called twice. */
  close() {
    cancelAnimationFrame(this.#frame);
    if (this.#context.state !== "closed") this.#context.close();
  }
}
