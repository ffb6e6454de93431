/**
 * How loud a stream is, as often as the screen is drawn.
 *
 * @module level_meter
 */

const QUIETEST_DB = -60;

/** @type {AudioContext | null} One for all meters: it only measures, nothing is played by it. */
let shared = null;
let metersOpen = 0;

function context() {
  if (shared === null) {
    // Without a device at its end it can neither be heard nor keep a loudspeaker busy.
    const silent = /** @type {AudioContextOptions} */ ({ sinkId: { type: "none" } });
    try {
      shared = new AudioContext(silent);
    } catch {
      shared = new AudioContext();
    }
    for (const gesture of ["pointerup", "keydown"]) addEventListener(gesture, resume);
  }
  resume();
  return shared;
}

/** Some browsers let nothing run before the person has done something on the page. */
function resume() {
  if (metersOpen === 0 || shared?.state === "running") return;
  shared?.resume().catch(() => {}); // The next gesture may do.
}

/** Calls back, once a frame while the page is seen, with how loud a stream is. */
export class LevelMeter {
  #analyser;
  #source;
  #samples;
  #show;
  #frame = 0;
  #isOpen = true;

  /**
   * @param {MediaStream} stream  one with an audio track
   * @param {(level: number) => void} show  gets 0 (-60 dBFS or less) to 1 (full scale)
   */
  constructor(stream, show) {
    this.#show = show;
    metersOpen += 1;
    this.#analyser = context().createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = context().createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  #measure() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    this.#show(levelOf(this.#samples));
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  /** Stops measuring; the stream stays open. May be called twice. */
  close() {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    cancelAnimationFrame(this.#frame);
    this.#source.disconnect();
    this.#show(0);
    metersOpen -= 1;
    if (metersOpen === 0) shared?.suspend().catch(() => {}); // A tab that measures nothing rests.
  }
}

/**
 * @param {Float32Array} samples  from -1 to 1
 * @returns {number} 0 (-60 dBFS or less) to 1 (full scale)
 */
export function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibel = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - decibel / QUIETEST_DB));
}
