/**
 * One call: a sound goes into the microphone's track, and what comes back is recorded.
 *
 * Source and recorder are nodes of one `AudioContext`, so that both are on its clock; nothing
 * is timed by JavaScript.
 */

import {
  connectByLibrary,
  connectPlainly,
  connectToItself,
  localCopy,
  observePeerConnections,
  peerConnections,
} from "./connections.js";

const RATE = 48_000;
const LEAD_S = 0.2;
const TAIL_S = 0.7;

const WAYS = { library: connectByLibrary, plain: connectPlainly, itself: connectToItself };

/**
 * @param {object} options
 * @param {"library" | "plain" | "itself"} options.way
 * @param {number[]} options.marksS  when statistics are taken, in seconds of the sound
 * @param {import("./connections.js").Variation} options.variation
 * @returns {Promise<object>}  `recording` (base64, s16 at 48 kHz), `offset` (of its first sample
 *   from the sound's first, in samples), `statistics` (one an `inbound-rtp` at each mark)
 */
export async function measure({ way, marksS, variation }) {
  await observePeerConnections(variation);
  const context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  await context.audioWorklet.addModule(await localCopy("./recorder.js"));
  const microphone = context.createMediaStreamDestination();
  microphone.channelCount = 1;
  const ear = /** @type {HTMLAudioElement} */ (document.getElementById("ear"));
  const { stream, hangUp } = await WAYS[way](microphone.stream, ear);

  // It is played, not only recorded: that is what makes the browser ask its jitter buffer.
  if (ear.srcObject !== stream) ear.srcObject = stream;
  await ear.play();
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  context.createMediaStreamSource(stream).connect(recorder);
  /** @type {{frame: number, samples: Float32Array}[]} */
  const blocks = [];
  recorder.port.onmessage = ({ data }) => blocks.push(data);

  const sound = await loadSound(context);
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  source.connect(microphone);
  const beginFrame = Math.ceil((context.currentTime + LEAD_S) * RATE);
  source.start(beginFrame / RATE);
  const statistics = [];
  for (const markS of marksS) {
    await until(context, beginFrame / RATE + markS);
    statistics.push(await inbound());
  }
  await until(context, beginFrame / RATE + sound.duration + TAIL_S);
  hangUp();
  return {
    recording: toBase64(blocks.map(({ samples }) => samples)),
    offset: blocks[0].frame - beginFrame,
    statistics,
    baseLatencyS: context.baseLatency,
  };
}

/** @param {AudioContext} context */
async function loadSound(context) {
  const pcm = new Int16Array(
    await (await fetch(new URL("./sound.s16", import.meta.url))).arrayBuffer(),
  );
  const sound = context.createBuffer(1, pcm.length, RATE);
  sound.getChannelData(0).set(Float32Array.from(pcm, (sample) => sample / 32768));
  return sound;
}

/**
 * @param {AudioContext} context
 * @param {number} timeS  of its clock
 */
async function until(context, timeS) {
  while (context.currentTime < timeS) {
    await new Promise((resolve) => setTimeout(resolve, (timeS - context.currentTime) * 1000 + 5));
  }
}

/** Of the connection that receives audio. */
async function inbound() {
  for (const pc of peerConnections) {
    for (const one of (await pc.getStats()).values()) {
      if (one.type === "inbound-rtp" && one.kind === "audio") return one;
    }
  }
  return null;
}

/** @param {Float32Array[]} blocks */
function toBase64(blocks) {
  const pieces = [];
  for (const block of blocks) {
    const pcm = Int16Array.from(block, (sample) => Math.max(-1, Math.min(1, sample)) * 32767);
    pieces.push(String.fromCharCode(...new Uint8Array(pcm.buffer)));
  }
  return btoa(pieces.join(""));
}
