/**
 * What outlives a reload of the page in its tab: the transcript of its session, and who calls.
 *
 * @module reload
 */

import { tab } from "./storage.js";

/** @typedef {import("./transcript.js").Transcript} Transcript */

const TRANSCRIPT_KEY = "rtc.transcript";
const SESSION_KEY = "rtc.transcript.session";
const TOKEN_KEY = "rtc.token";

/**
 * @param {Transcript} transcript  is filled with what was stored of this session
 * @param {string} sessionId  that is gone on with; empty: none
 * @returns {boolean} whether there was anything
 */
export function restoreTranscript(transcript, sessionId) {
  // Of another session, or of another person's, nothing is shown.
  const isOfSession = tab.read(SESSION_KEY) === sessionId;
  if (!isOfSession || sessionId === "") forgetTranscript();
  const stored = tab.read(TRANSCRIPT_KEY);
  if (stored === null) return false;
  transcript.restore(stored);
  return true;
}

/**
 * @param {Transcript} transcript  as much of it as there is room for; an empty one changes nothing
 * @param {string} sessionId
 */
export function storeTranscript(transcript, sessionId) {
  const { length } = transcript.entries;
  if (length === 0) return;
  tab.write(SESSION_KEY, sessionId);
  tab.writeNewest(TRANSCRIPT_KEY, length, (count) => transcript.newest(count));
}

export function forgetTranscript() {
  tab.write(TRANSCRIPT_KEY, null);
}

/**
 * The call token out of `#token=…`, and the session out of `#session=…`: they are taken out of
 * the address, and the token is kept for reloads.
 *
 * @returns {{token: string | null, sessionId: string | null}}
 */
export function takeFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token) tab.write(TOKEN_KEY, token);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return { token: token ?? tab.read(TOKEN_KEY), sessionId: fragment.get("session") };
}
