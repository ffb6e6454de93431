/**
 * A report of a call to go with a bug: what the browser is and what it measured.
 *
 * It is put together from fields that are named here, so that what was said, tokens, addresses
 * and what tells one device from another cannot come into it by accident. Of the session's id it
 * has the beginning: enough to find it in a log, and not enough to go on with it.
 *
 * @module report
 */

import { factsAsText } from "./event_log.js";

/** @typedef {import("../client/statistics.js").CallStats} CallStats */
/** @typedef {import("./event_log.js").CallEvent} CallEvent */
/** @typedef {import("./latency_bars.js").Part} Part */

/**
 * @typedef {object} ReportSources
 * @property {string | null} fingerprint  of the page's files
 * @property {string | null} callId
 * @property {string | null} sessionId
 * @property {string} line
 * @property {string | null} problem  a code
 * @property {boolean} hasAudio
 * @property {boolean} isMuted
 * @property {MediaStream | null} microphone
 * @property {number | null} outputLatencyMs
 * @property {CallStats[]} samples
 * @property {{turn: number, parts: Part[]}[]} answers
 * @property {CallEvent[]} events
 */

const SESSION_ID_CHARACTERS = 8;

/** Settings of a track that tell nothing of whose it is. */
const SETTINGS = /** @type {const} */ ([
  "autoGainControl",
  "channelCount",
  "echoCancellation",
  "latency",
  "noiseSuppression",
  "sampleRate",
  "sampleSize",
]);

/** The columns of the samples, and where each lies in {@link CallStats}. */
const COLUMNS = /** @type {Record<string, (it: CallStats) => number | null | undefined>} */ ({
  atMs: (it) => it.atMs,
  roundTripMs: (it) => it.roundTripMs,
  downPackets: (it) => it.downlink?.packets,
  downLost: (it) => it.downlink?.lost,
  downLossShare: (it) => it.downlink?.lossShare,
  downJitterMs: (it) => it.downlink?.jitterMs,
  downBitrate: (it) => it.downlink?.bitrate,
  jitterBufferMs: (it) => it.downlink?.jitterBufferMs,
  jitterBufferTargetMs: (it) => it.downlink?.jitterBufferTargetMs,
  concealedShare: (it) => it.downlink?.concealedShare,
  downLevel: (it) => it.downlink?.level,
  upPackets: (it) => it.uplink?.packets,
  upLossShare: (it) => it.uplink?.lossShare,
  upJitterMs: (it) => it.uplink?.jitterMs,
  upBitrate: (it) => it.uplink?.bitrate,
  upLevel: (it) => it.uplink?.level,
});

/**
 * @param {ReportSources} sources
 * @returns {string} Markdown, short enough for the description of an issue
 */
export function reportOf(sources) {
  const facts = JSON.stringify(factsOf(sources), null, 2);
  return [
    "## Call report",
    fenced("json", facts),
    "### Statistics",
    fenced("csv", samplesAsCsv(sources.samples)),
    "### Events",
    fenced("text", sources.events.map(eventAsLine).join("\n")),
  ].join("\n\n");
}

/** @param {ReportSources} sources */
function factsOf(sources) {
  const newest = sources.samples.at(-1);
  return {
    at: new Date().toISOString(),
    page: sources.fingerprint,
    browser: {
      userAgent: navigator.userAgent,
      languages: navigator.languages.join(" "),
      screen: `${screen.width}x${screen.height}`,
      viewport: `${innerWidth}x${innerHeight}`,
      pixelRatio: devicePixelRatio,
      visibility: document.visibilityState,
      online: navigator.onLine,
    },
    call: {
      callId: sources.callId,
      sessionId: sources.sessionId?.slice(0, SESSION_ID_CHARACTERS) ?? null,
      line: sources.line,
      problem: sources.problem,
      audio: sources.hasAudio,
      muted: sources.isMuted,
      outputLatencyMs: rounded(sources.outputLatencyMs),
      codecDown: newest?.downlink?.codec ?? null,
      codecUp: newest?.uplink?.codec ?? null,
      candidates: newest?.candidates ?? null,
    },
    microphone: (sources.microphone?.getAudioTracks() ?? []).map(microphoneFactsOf),
    answersMs: sources.answers.map(({ turn, parts }) => ({
      turn,
      ...Object.fromEntries(parts.map(({ name, ms }) => [name, rounded(ms)])),
    })),
  };
}

/** @param {MediaStreamTrack} track */
function microphoneFactsOf(track) {
  // TypeScript does not know all of them yet.
  const settings = /** @type {Record<string, unknown>} */ (track.getSettings());
  return {
    readyState: track.readyState,
    enabled: track.enabled,
    muted: track.muted,
    ...Object.fromEntries(SETTINGS.map((name) => [name, settings[name]])),
  };
}

/**
 * @param {CallStats[]} samples
 * @returns {string} an empty field is a figure that the browser did not give
 */
function samplesAsCsv(samples) {
  const rows = samples.map((sample) =>
    Object.values(COLUMNS)
      .map((figure) => rounded(figure(sample) ?? null) ?? "")
      .join(","),
  );
  return [Object.keys(COLUMNS).join(","), ...rows].join("\n");
}

/** @param {CallEvent} event */
function eventAsLine(event) {
  return `${(event.atMs / 1000).toFixed(3)} ${event.from} ${event.type} ${factsAsText(event)}`;
}

/**
 * @param {string} language
 * @param {string} text
 */
function fenced(language, text) {
  return `\`\`\`${language}\n${text}\n\`\`\``;
}

/** @param {number | null} value */
function rounded(value) {
  return value === null ? null : Math.round(value * 1e4) / 1e4;
}
