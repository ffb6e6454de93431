/**
 * Every sentence that the page says of itself.
 *
 * @module strings
 */

/** The panel of statistics; names of the wire and of WebRTC in it are not translated. */
export const PANEL = Object.freeze({
  title: "Call details",
  close: "Close call details",
  copy: "Copy report",
  copied: "Copied",
  copyYourself: "The browser does not let the page copy. Copy this report yourself:",

  connection: "Connection",
  roundTrip: "Round trip",
  jitterDown: "Jitter down",
  jitterUp: "Jitter up",
  lossDown: "Loss down",
  lossUp: "Loss up",
  jitterBuffer: "Jitter buffer",
  bitrateDown: "Bitrate down",
  bitrateUp: "Bitrate up",
  codecDown: "Codec down",
  codecUp: "Codec up",
  path: "Path",
  unknown: "–",

  answers: "Answers",
  noAnswers: "How long each answer took is shown here.",
  newest: "Newest answer",
  /** What an answer's time is made of, in this order. */
  parts: Object.freeze({
    endpoint: "end of speech",
    model: "recognition and model",
    agent: "agent",
    playout: "first audio sent",
    silence: "silence before the first sound",
    network: "network and playout",
  }),

  events: "Events",
  sent: "sent",
  received: "received",

  /** @param {number} ms */
  milliseconds: (ms) => `${ms < 9.95 ? trimmed(ms, 1) : Math.round(ms)} ms`,
  /** @param {number} percent */
  percent: (percent) => `${percent < 9.95 ? trimmed(percent, 1) : Math.round(percent)} %`,
  /** @param {number} kilobits */
  kilobits: (kilobits) => `${kilobits < 9.95 ? trimmed(kilobits, 1) : Math.round(kilobits)} kbit/s`,
  /**
   * @param {number} turn
   * @param {number} totalMs
   * @param {string} parts
   */
  answer: (turn, totalMs, parts) => `Answer ${turn}: ${Math.round(totalMs)} ms. ${parts}.`,
  /**
   * @param {string} local  candidate type
   * @param {string} remote
   * @param {string[]} rest  protocol and network
   */
  candidates: (local, remote, rest) => [`${local} to ${remote}`, ...rest].join(", "),
});

/**
 * "0", "0.4" or "3": no zeros that say nothing.
 *
 * @param {number} value
 * @param {number} digits
 */
function trimmed(value, digits) {
  return String(Number(value.toFixed(digits)));
}
