/**
 * Every word that the page says of itself, in one place: whoever translates the page
 * translates this file, and sets `LANGUAGE`.
 *
 * @module strings
 */

export const LANGUAGE = Object.freeze({
  /** BCP 47 */
  code: "en",
  /** @type {"ltr" | "rtl"} */
  direction: "ltr",
});

/** What stands on the page from the start: by the `data-text`, `data-label`… of its elements. */
export const PAGE = Object.freeze({
  skip: "Skip to the message field",
  conversation: "Conversation",
  emptyTitle: "Say something, or type it.",
  emptyHint:
    "Start audio turns on the microphone. Messages can be typed right away, and both are one " +
    "conversation.",
  message: "Message",
  typeHere: "Type a message",
  send: "Send",
  attach: "Send a picture",
  dismiss: "Dismiss",
  camera: "Show your camera to the agent",
  screen: "Share your screen with the agent",
  flip: "Other camera",
  fold: "Hide the preview; the agent still sees it",
  args: "Arguments",
  yes: "Yes, do it",
  no: "No",
  payload: "Details that go with a yes (JSON)",
  hangUp: "Hang up",
  stop: "Stop",
  stopHint: "Stop the answer (Esc)",
  escape: "Esc",
  hold: "Hold to talk",
  holdHint: "Hold while you speak (space bar)",
  panel: "Call details",
  panelHint: "Statistics, latency and events of the call",
  settings: "Settings",
  more: "More",
  newConversation: "New conversation",
  newHint: "Forget this conversation and begin a new one",
  copyTranscript: "Copy transcript",
  downloadText: "Download as text",
  downloadJson: "Download as JSON",
  close: "Close",
  sound: "Sound",
  microphone: "Microphone",
  speaker: "Speaker",
  speakerFixed: "This browser plays on the speaker that the system has chosen.",
  processing: "Microphone processing",
  echoCancellation: "Echo cancellation",
  echoHint: "Keeps the agent from hearing itself. Switch it off only with headphones.",
  noiseSuppression: "Noise suppression",
  noiseHint: "Takes out fans, traffic and keyboards.",
  autoGainControl: "Automatic gain",
  gainHint: "Evens out how loud you are.",
  talking: "Talking",
  holdToTalk: "Hold to talk",
  holdToTalkHint: "The microphone is open only while you hold the button or the space bar.",
  keyboard: "Keyboard",
  keySpace: "Space",
  keySpaceDoes: "talk while held, when muted or with hold to talk",
  keyEscapeDoes: "stop the answer",
  keyMute: "M",
  keyMuteDoes: "mute or open the microphone",
  keyEnter: "Enter",
  keyEnterDoes: "send the message; with Shift a new line",
});

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
  away: "Agent is away",
  muted: "Muted",
  hold: "Hold to talk",
});

/**
 * @typedef {object} ProblemWords
 * @property {string} title  what happened
 * @property {string} advice  what to do about it; empty where there is nothing to do
 * @property {string} picture  one of the `picture-…` symbols of index.html
 */

/** Why a call could not be placed or has ended: by `CallProblem.code`. */
export const PROBLEMS = Object.freeze(
  /** @satisfies {Record<string, ProblemWords>} */ ({
    unreachable: {
      title: "The server cannot be reached.",
      advice: "Check your network. The page goes on by itself as soon as the server answers.",
      picture: "server-gone",
    },
    busy: {
      title: "The server is full.",
      advice: "You keep your place: the page calls again by itself.",
      picture: "server-full",
    },
    too_many: {
      title: "The server was asked too often.",
      advice: "Wait a little. The page calls again by itself.",
      picture: "server-full",
    },
    agent_unreachable: {
      title: "The agent cannot be reached.",
      advice: "Its model may be down, or its key may be wrong; the server's log says which.",
      picture: "agent-failed",
    },
    unauthorized: {
      title: "This server asks for a call token, and the one given is missing or no longer good.",
      advice: "Open the page with #token=… at the end of its address.",
      picture: "locked",
    },
    forbidden: {
      title: "The server does not allow this call.",
      advice: "Ask whoever runs it, or begin a new conversation.",
      picture: "locked",
    },
    refused: {
      title: "The server refused the call.",
      advice: "Reload the page; if that does not help, begin a new conversation.",
      picture: "locked",
    },
    server_error: {
      title: "Something went wrong on the server.",
      advice: "The page calls again by itself. The server's log says what it was.",
      picture: "agent-failed",
    },
    bad_answer: {
      title: "The server gave an answer that the browser does not understand.",
      advice: "Reload the page: it may be older than the server.",
      picture: "server-gone",
    },
    no_candidates: {
      title: "The browser found no network address to connect from.",
      advice:
        "Check that this device is on a network, and that no extension, policy or VPN setting " +
        "blocks WebRTC.",
      picture: "network",
    },
    never_connected: {
      title: "The server answered, but no connection came about.",
      advice: "A firewall may block UDP between this device and the server: try another network.",
      picture: "network",
    },
    no_webrtc: {
      title: "This browser has no WebRTC, or it is turned off.",
      advice: "Turn it on, or open the page in another browser.",
      picture: "network",
    },
    lost: {
      title: "The connection was lost.",
      advice: "The conversation goes on by itself when the network is back.",
      picture: "network",
    },
    agent_failed: {
      title: "The agent has stopped.",
      advice: "Try again now goes on with the same conversation; New conversation begins afresh.",
      picture: "agent-failed",
    },
    replaced: {
      title: "This conversation goes on in another window.",
      advice: "This one stays quiet. Continue here brings it back.",
      picture: "windows",
    },
    idle: {
      title: "The call ended because nobody spoke for a while.",
      advice: "Type, or start audio, to go on.",
      picture: "asleep",
    },
    max_duration: {
      title: "The call reached its longest time.",
      advice: "The conversation goes on in a new call.",
      picture: "asleep",
    },
    drain: {
      title: "The server is about to stop.",
      advice: "The conversation goes on when it, or another one, is back.",
      picture: "server-gone",
    },
    microphone_denied: {
      title: "The browser was not allowed to use the microphone.",
      advice:
        "Allow it beside the page's address, then start audio again. Typing works without it.",
      picture: "microphone-denied",
    },
    microphone_missing: {
      title: "No microphone was found.",
      advice: "Plug one in and start audio again, or type.",
      picture: "microphone-missing",
    },
    microphone_busy: {
      title: "The microphone cannot be opened.",
      advice: "Another program may be using it: close that, then start audio again.",
      picture: "microphone-missing",
    },
    microphone_insecure: {
      title: "Browsers give the microphone only to pages on https or localhost.",
      advice: "Open the page by such an address to speak. Typing works here.",
      picture: "locked",
    },
    microphone_failed: {
      title: "The microphone could not be opened.",
      advice: "Try another one in the settings. Typing works without it.",
      picture: "microphone-missing",
    },
    microphone_lost: {
      title: "The microphone was unplugged or taken away.",
      advice: "The agent hears nothing now. Plug it in again and the call goes on.",
      picture: "microphone-missing",
    },
    camera_denied: {
      title: "The browser was not allowed to use the camera.",
      advice: "Allow it beside the page's address, then switch the camera on again.",
      picture: "camera-off",
    },
    camera_missing: {
      title: "No camera was found.",
      advice: "Plug one in, or send a picture.",
      picture: "camera-off",
    },
    camera_busy: {
      title: "The camera cannot be opened.",
      advice: "Another program may be using it: close that, then try again.",
      picture: "camera-off",
    },
    camera_insecure: {
      title: "Browsers give the camera only to pages on https or localhost.",
      advice: "Open the page by such an address. Pictures can be sent here.",
      picture: "locked",
    },
    camera_failed: {
      title: "The camera could not be opened.",
      advice: "Try again, or send a picture.",
      picture: "camera-off",
    },
    camera_lost: {
      title: "The camera was unplugged or taken away.",
      advice: "The agent sees nothing now.",
      picture: "camera-off",
    },
    screen_denied: {
      title: "Nothing is shared.",
      advice:
        "If you did choose something, the system may keep the browser from recording the screen.",
      picture: "camera-off",
    },
    screen_unsupported: {
      title: "This browser cannot share a screen.",
      advice: "Send a screenshot as a picture instead.",
      picture: "camera-off",
    },
    screen_missing: {
      title: "There is nothing that could be shared.",
      advice: "",
      picture: "camera-off",
    },
    screen_busy: {
      title: "The system does not let the browser record this.",
      advice: "Try another window, or the whole screen.",
      picture: "camera-off",
    },
    screen_failed: {
      title: "The screen could not be shared.",
      advice: "Try again, or send a screenshot as a picture.",
      picture: "camera-off",
    },
    video_refused: {
      title: "This agent does not look at video.",
      advice: "Send a picture instead.",
      picture: "camera-off",
    },
    pictures_refused: {
      title: "This agent does not look at pictures.",
      advice: "Tell it what is to be seen.",
      picture: "camera-off",
    },
    model_away: {
      title: "The agent's model cannot be reached just now.",
      advice: "Stay on the line: the call goes on as soon as it is back. What is said now is lost.",
      picture: "agent-failed",
    },
    sound_blocked: {
      title: "The browser holds the sound back until you click.",
      advice: "",
      picture: "sound-blocked",
    },
    speaker_failed: {
      title: "That speaker cannot be used.",
      advice: "The sound stays where it was.",
      picture: "sound-blocked",
    },
    no_room: {
      title: "Too much is waiting to be sent.",
      advice: "Your message stays in the field: send it when the connection is back.",
      picture: "note",
    },
    picture_failed: {
      title: "The browser cannot read that picture.",
      advice: "Try another format, such as JPEG or PNG.",
      picture: "note",
    },
    copy_failed: {
      title: "The browser does not let the page copy.",
      advice: "Download the transcript instead.",
      picture: "note",
    },
    stale: {
      title: "The server has a new version of this page.",
      advice: "Reload it when it suits you: the conversation stays.",
      picture: "renewed",
    },
  }),
);

export const WORDS = Object.freeze({
  user: "You",
  agent: "Agent",
  startAudio: "Start audio",
  startingAudio: "Starting",
  mute: "Mute",
  unmute: "Unmute",
  talking: "Release to stop",
  tryAgain: "Try again now",
  continueHere: "Continue here",
  hear: "Hear the agent",
  reload: "Reload",
  defaultDevice: "System default",
  unnamedMicrophone: "Microphone",
  unnamedSpeaker: "Speaker",
  allowToChoose: "Start audio to choose among microphones",
  connected: "Connected",
  copied: "Copied",
  tool: "Tool",
  interrupted: "interrupted",
  notHeard: "not heard",
  running: "…",
  runningLong: "… goes on in the background",
  cancelled: "cancelled",
  failed: "failed",
  noResult: "no result",
  shortened: "shortened",
  args: "Arguments",
  result: "Result",
  copyAnswer: "Copy answer",
  copyCode: "Copy code",
  code: "Code",
  codeResult: "Result",
  sources: "Sources",
  searchedFor: "Searched for",
  thought: "Thoughts",
  cameraSeen: "The agent sees your camera, about one picture a second.",
  screenSeen: "The agent sees what you share, about one picture a second.",
  cameraOn: "Camera on",
  cameraOff: "Camera off",
  screenOn: "Screen shared",
  screenOff: "Screen no longer shared",
  noEyes: "This agent does not look at video.",
  blind: "This agent does not look at pictures.",
  modelBack: "The agent is back",
  isAsked: "The agent asks for your permission, above the message field.",
  notJson: "This is not JSON.",
  agentsPicture: "Picture in the answer",
  yourPicture: "Your picture",
  newWindow: "(opens in a new window)",
  table: "Table",
  taskDone: "Done",
  taskOpen: "To do",
  really: "Really?",
  reallyNew: "Press again to forget this conversation.",
  earlierGone: "What was said before this is no longer kept.",
  forgotten: "The server no longer knows what was said above. This is a new conversation.",
});

/** The panel of statistics; names of the wire and of WebRTC in it are not translated. */
export const PANEL = Object.freeze({
  title: "Call details",
  close: "Close call details",
  copy: "Copy report",
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

  /** What a model counts, of its newest answer. */
  tokens: Object.freeze({
    prompt_tokens: "Tokens in",
    response_tokens: "Tokens out",
    thoughts_tokens: "Of thoughts",
    cached_tokens: "From the cache",
    tool_tokens: "Of tools",
    total_tokens: "Together",
  }),
  tokensInAll: "All answers",

  events: "Events",
  sent: "sent",
  received: "received",

  /** @param {number} count */
  count: (count) => count.toLocaleString(LANGUAGE.code),
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
 * "Now using Headset."
 *
 * @param {string} label  of a device
 */
export function nowUsing(label) {
  return `Now using ${label}.`;
}

/**
 * "The agent goes on with another model, gemini-live."
 *
 * @param {string} model
 */
export function goesOnWith(model) {
  return `The agent goes on with another model, ${model}.`;
}

/**
 * "May the agent use book_flight?"
 *
 * @param {string} tool
 */
export function mayGoOn(tool) {
  return `May the agent use ${tool}?`;
}

/**
 * "Counts as no in 58 s."
 *
 * @param {number} seconds
 */
export function countsAsNo(seconds) {
  return `Counts as no in ${seconds} s.`;
}

/**
 * "2 more questions", or nothing.
 *
 * @param {number} number
 */
export function moreQuestions(number) {
  if (number < 1) return "";
  return number === 1 ? "1 more question" : `${number} more questions`;
}

/**
 * "You allowed book_flight."
 *
 * @param {string} tool
 * @param {boolean} confirmed
 */
export function answered(tool, confirmed) {
  return confirmed ? `You allowed ${tool}.` : `You did not allow ${tool}.`;
}

/**
 * "Nobody answered in time: book_flight was not allowed."
 *
 * @param {string} tool
 */
export function unanswered(tool) {
  return `Nobody answered in time: ${tool} was not allowed.`;
}

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
 * "Picture (image/png, 84 KB)", of the agent's
 *
 * @param {string} mimeType
 * @param {number} bytes
 */
export function pictureShown(mimeType, bytes) {
  return `Picture (${mimeType}, ${Math.max(1, Math.round(bytes / 1000))} KB)`;
}

/**
 * "report.pdf (application/pdf)"
 *
 * @param {string} name
 * @param {string} mimeType  may be empty
 */
export function fileAt(name, mimeType) {
  return mimeType ? `${name} (${mimeType})` : name;
}

/**
 * "Saved report.pdf, version 2."
 *
 * @param {string} name
 * @param {number} version  counted from 0
 */
export function savedAs(name, version) {
  return version > 0 ? `Saved ${name}, version ${version + 1}.` : `Saved ${name}.`;
}

/**
 * "flights goes on."
 *
 * @param {string} agent  that took over from another one
 */
export function goesOn(agent) {
  return `${agent} goes on.`;
}

/**
 * "0", "0.4" or "3": no zeros that say nothing.
 *
 * @param {number} value
 * @param {number} digits
 */
function trimmed(value, digits) {
  return String(Number(value.toFixed(digits)));
}
