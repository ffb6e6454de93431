/**
 * What leaves the page: the transcript on the clipboard or as a file.
 *
 * @module exports
 */

/** The browser reads the file while it saves it; nobody says when it has. */
const FILE_KEPT_MS = 60_000;

/**
 * Saves text as a file.
 *
 * @param {string} text
 * @param {string} name  of the file
 * @param {string} mimeType
 */
export function download(text, name, mimeType) {
  const url = URL.createObjectURL(new Blob([text], { type: mimeType }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), FILE_KEPT_MS);
}

/**
 * A file name that sorts by time: "call-2026-11-25-1403.json".
 *
 * @param {string} suffix
 * @param {Date} [at]
 */
export function fileName(suffix, at = new Date()) {
  const parts = [at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes()];
  const [month, day, hours, minutes] = parts.map((one) => String(one).padStart(2, "0"));
  return `call-${at.getFullYear()}-${month}-${day}-${hours}${minutes}.${suffix}`;
}
