/**
 * Where the line to the server stands, and all that a call says.
 *
 * @module line
 */

/** @typedef {import("./api.js").Config} Config */
/** @typedef {import("./messages.js").ServerMessages} ServerMessages */
/** @typedef {import("./messages.js").ServerMessage} ServerMessage */
/** @typedef {import("./messages.js").ClientMessage} ClientMessage */
/** @typedef {import("./microphone.js").MicrophoneChange} MicrophoneChange */
/** @typedef {import("./problem.js").CallProblem} Problem */
/** @typedef {import("./video.js").VideoChange} VideoChange */

/** @enum {string} Where the line to the server stands. */
export const Line = Object.freeze({
  /** No connection; one is placed when the person does something. */
  DOWN: "down",
  DIALLING: "dialling",
  UP: "up",
  /** A connection was lost; the next is placed after a while. */
  WAITING: "waiting",
});

/**
 * @typedef {object} Status
 * @property {string} line  one of {@link Line}
 * @property {boolean} audio  whether this is, or is going to be, an audio call
 * @property {Problem | null} problem  why it is not up
 * @property {number} retryInS  while waiting
 */

/**
 * @typedef {ServerMessages & {message: ServerMessage, status: Status, config: Config,
 *   stream: MediaStream, microphone: MicrophoneChange, video: VideoChange, blocked: null,
 *   speaker: string, muted: boolean, sent: ClientMessage}} CallEvents
 */
