/**
 * Every sentence that the page says of itself.
 *
 * @module strings
 */

/** What the agent, or the line to it, is doing: by `data-state` of the state chip. */
export const STATES = Object.freeze({
  connecting: "Connecting",
  reconnecting: "Reconnecting",
  ended: "Not connected",
  initializing: "Getting ready",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  ready: "Ready",
  answering: "Answering",
});

/** Why a call could not be placed or has ended: by `CallProblem.code`. */
export const PROBLEMS = Object.freeze({
  unreachable: "The server cannot be reached.",
  busy: "The server is full, or about to stop.",
  too_many: "The server was asked too often.",
  agent_unreachable: "The agent cannot be reached.",
  unauthorized:
    "This server asks for a call token, and the one given is missing or no longer good. " +
    "Open the page with #token=… at the end of its address.",
  forbidden: "The server does not allow this call.",
  refused: "The server refused the call.",
  server_error: "Something went wrong on the server.",
  bad_answer: "The server gave an answer that the browser does not understand.",
  no_candidates:
    "The browser found no network address to connect from. Check that this device is on a " +
    "network, and that no extension, policy or VPN setting blocks WebRTC.",
  never_connected:
    "The server answered, but no connection came about. A firewall may block UDP between " +
    "this device and the server.",
  no_webrtc: "This browser has no WebRTC, or it is turned off.",
  lost: "The connection was lost.",
  agent_failed: "The agent has stopped.",
  replaced: "This conversation goes on in another window.",
  idle: "The call ended because nobody spoke for a while. Type, or start audio, to go on.",
  max_duration: "The call reached its longest time.",
  drain: "The server is about to stop.",
});

/** Why there is no microphone: by the name of getUserMedia's exception. */
export const MICROPHONE = Object.freeze({
  NotAllowedError:
    "The browser was not allowed to use the microphone. Allow it beside the page's address, " +
    "then start audio again. Typing works without it.",
  NotFoundError: "No microphone was found. Plug one in and start audio again, or type.",
  NotReadableError:
    "The microphone cannot be opened; another program may be using it. Typing works without it.",
  InsecureContext:
    "Browsers give the microphone only to pages on https or localhost. Typing works here.",
  ended: "The microphone was unplugged or taken away. The agent hears nothing now.",
  other: "The microphone could not be opened. Typing works without it.",
});

export const WORDS = Object.freeze({
  user: "You",
  agent: "Agent",
  startAudio: "Start audio",
  startingAudio: "Starting",
  mute: "Mute",
  unmute: "Unmute",
  tryAgain: "Try again now",
  continueHere: "Continue here",
  hear: "Click to hear the agent",
  silent: "The browser holds the sound back until you click.",
  interrupted: "interrupted",
  forgotten: "The server no longer knows what was said above. This is a new conversation.",
  cancelled: "cancelled",
  running: "…",
});

/**
 * "Trying again in 4 s."
 *
 * @param {number} seconds
 * @returns {string}
 */
export function tryingAgain(seconds) {
  return seconds < 1 ? "Trying again." : `Trying again in ${Math.round(seconds)} s.`;
}

/**
 * How long the last answer took, for the line under the controls.
 *
 * @param {number} responseMs
 * @returns {string}
 */
export function answeredIn(responseMs) {
  return `Answered in ${duration(responseMs)}`;
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
