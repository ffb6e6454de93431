/**
 * Every sentence that the page says of itself: those of the conversation.
 *
 * @module strings
 */

export const WORDS = Object.freeze({
  user: "You",
  agent: "Agent",
  tool: "Tool",
  interrupted: "interrupted",
  notHeard: "not heard",
  running: "…",
  cancelled: "cancelled",
  noResult: "no result",
  shortened: "shortened",
  args: "Arguments",
  result: "Result",
  copyAnswer: "Copy answer",
  copyCode: "Copy code",
  copied: "Copied",
  code: "Code",
  table: "Table",
  taskDone: "Done",
  taskOpen: "To do",
});

/**
 * "Picture sent (image/jpeg, 84 KB)"
 *
 * @param {string} mimeType
 * @param {number} bytes
 * @returns {string}
 */
export function pictureSent(mimeType, bytes) {
  return `Picture sent (${mimeType}, ${Math.max(1, Math.round(bytes / 1000))} KB)`;
}

/**
 * "8 ms", "640 ms" or "1.3 s": as exact as it is worth.
 *
 * @param {number} ms
 * @returns {string}
 */
export function duration(ms) {
  if (ms < 95) return `${Math.max(1, Math.round(ms))} ms`;
  return ms < 995 ? `${Math.round(ms / 10) * 10} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/**
 * "14:03:05", on the clock of this device.
 *
 * @param {number} at  ms since 1970
 * @returns {string}
 */
export function clockTime(at) {
  const time = new Date(at);
  const parts = [time.getHours(), time.getMinutes(), time.getSeconds()];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
