/**
 * Why a call could not be placed, or ended unasked.
 *
 * @module problem
 */

/**
 * What a {@link CallProblem} can be of:
 *
 * - of the server's answer: `unauthorized`, `forbidden`, `refused`, `too_many`, `busy`,
 *   `agent_unreachable`, `server_error`, `bad_answer`, `unreachable`;
 * - of the connection: `no_webrtc`, `no_candidates`, `never_connected`, `lost`;
 * - said by the server before it ended the call: `agent_failed`, `replaced`, `idle`, `drain`,
 *   `max_duration`;
 * - of the microphone: `microphone_denied`, `microphone_missing`, `microphone_busy`,
 *   `microphone_insecure`, `microphone_failed`;
 * - of video: `camera_denied`, `camera_missing`, `camera_busy`, `camera_insecure`, `camera_failed`,
 *   `screen_denied`, `screen_unsupported`, `screen_busy`, `screen_missing`, `screen_failed`,
 *   `video_refused`, `pictures_refused`.
 *
 * @typedef {string} ProblemCode
 */

/** One problem, with what a page needs to say and to do about it. */
export class CallProblem extends Error {
  /**
   * @param {ProblemCode} code
   * @param {object} [facts]
   * @param {string} [facts.message]  the server's own sentence, for a person; may be empty
   * @param {boolean} [facts.retryable]  whether placing the same call again may help
   * @param {number} [facts.retryAfterS]  not before so many seconds
   * @param {unknown} [facts.cause]
   */
  constructor(code, { message = "", retryable = true, retryAfterS = 0, cause } = {}) {
    super(message, { cause });
    this.name = "CallProblem";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterS = retryAfterS;
  }
}

/** @type {Readonly<Record<number, ProblemCode>>} */
const CODES = Object.freeze({
  401: "unauthorized",
  403: "forbidden",
  429: "too_many",
  502: "agent_unreachable",
  503: "busy",
});

/**
 * The problem that an HTTP answer (RFC 9457) tells of.
 *
 * @param {Response} response  one that is not ok
 * @returns {Promise<CallProblem>}
 */
export async function problemOf(response) {
  /** @type {{detail?: unknown, title?: unknown}} */
  const body = await response.json().catch(() => ({}));
  const { status } = response;
  // Of tokens a page knows better what a person can do.
  const message = status === 401 ? "" : String(body?.detail ?? body?.title ?? "");
  return new CallProblem(CODES[status] ?? (status >= 500 ? "server_error" : "refused"), {
    message,
    retryable: status === 429 || status >= 500,
    retryAfterS: Number(response.headers.get("retry-after")) || 0,
  });
}
