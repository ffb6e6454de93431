/**
 * Hands on what arrives, with the frame of the context's clock at which it arrived.
 *
 * Every 100 ms a message `{frame, samples}`: the first channel, silence where nothing comes.
 */
const BLOCK_FRAMES = 4800;

class Recorder extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK_FRAMES);
  #filled = 0;

  /** @param {Float32Array[][]} inputs */
  process([input]) {
    const channel = input[0];
    const quantum = channel?.length ?? 128;
    for (let at = 0; at < quantum; at += 1) {
      this.#block[this.#filled] = channel ? channel[at] : 0;
      this.#filled += 1;
      if (this.#filled === BLOCK_FRAMES) this.#handOn(currentFrame + at + 1);
    }
    return true;
  }

  /** @param {number} nextFrame */
  #handOn(nextFrame) {
    const samples = this.#block;
    this.port.postMessage({ frame: nextFrame - BLOCK_FRAMES, samples }, [samples.buffer]);
    this.#block = new Float32Array(BLOCK_FRAMES);
    this.#filled = 0;
  }
}

registerProcessor("recorder", Recorder);
