/**
 * The messages of the data channel, as types. There is nothing to run here.
 *
 * Source: the server's contract (docs/contract.md).
 *
 * @module messages
 */

/**
 * @typedef {{type: "ready", call_id: string, session_id: string, agent: string,
 *   modality: "audio" | "text", resumed: boolean, pictures?: boolean}} Ready
 * @typedef {{type: "state", state: "initializing" | "listening" | "thinking" | "speaking"}} State
 * @typedef {{type: "text", mime_type: string, data: string, turn: number}} Text
 * @typedef {{type: "transcript", role: "user" | "agent", text: string, final: boolean,
 *   turn: number}} Transcript
 * @typedef {{type: "turn", turn: number, turn_complete: boolean, interrupted: boolean,
 *   heard_ms?: number, heard_text?: string}} Turn
 * @typedef {{type: "tool", phase: "call" | "progress" | "result" | "cancelled", id: string,
 *   name: string, args?: unknown, result?: unknown, long_running?: boolean, failed?: boolean,
 *   truncated?: boolean}} Tool
 * @typedef {{type: "confirm", id: string, name: string, hint?: string, args?: unknown,
 *   payload?: unknown, seconds: number, truncated?: boolean}} Confirm
 * @typedef {{type: "client_tool", id: string, name: string, args: unknown,
 *   seconds: number}} ClientToolCall
 * @typedef {{type: "thought", text: string, turn: number}} Thought
 * @typedef {{type: "grounding", turn: number, queries: string[],
 *   sources: {uri?: string, title?: string}[]}} Grounding
 * @typedef {{type: "code", turn: number, phase: "call" | "result", language?: string,
 *   code?: string, outcome?: string, output?: string, truncated?: boolean}} Code
 * @typedef {{type: "image", turn: number, mime_type: string, data: string}} Picture
 * @typedef {{type: "file", turn: number, uri: string, mime_type?: string, name?: string}} FileLink
 * @typedef {{type: "artifact", name: string, version: number}} Artifact
 * @typedef {{type: "model", state: "away" | "back", name?: string}} Model
 * @typedef {{type: "session_state", delta: Record<string, unknown>}} SessionState
 * @typedef {{type: "agent", name: string}} Agent
 * @typedef {{type: "latency", turn: number, response_ms?: number, endpoint_ms?: number,
 *   agent_ms?: number, playout_ms?: number, uplink_ms?: number}} Latency
 * @typedef {{type: "usage", turn: number, [count: string]: unknown}} Usage
 * @typedef {{type: "error", code: string, message: string, retryable: boolean}} ErrorMessage
 * @typedef {{type: "goaway", reason: "drain" | "max_duration" | "idle" | "replaced",
 *   seconds: number}} GoAway
 * @typedef {{type: "pong", t: number}} Pong
 */

/**
 * @typedef {object} ServerMessages  by type
 * @property {Ready} ready
 * @property {State} state
 * @property {Text} text
 * @property {Transcript} transcript
 * @property {Turn} turn
 * @property {Tool} tool
 * @property {Confirm} confirm
 * @property {ClientToolCall} client_tool
 * @property {Thought} thought
 * @property {Grounding} grounding
 * @property {Code} code
 * @property {Picture} image
 * @property {FileLink} file
 * @property {Artifact} artifact
 * @property {Model} model
 * @property {SessionState} session_state
 * @property {Agent} agent
 * @property {Latency} latency
 * @property {Usage} usage
 * @property {ErrorMessage} error
 * @property {GoAway} goaway
 * @property {Pong} pong
 */

/** @typedef {ServerMessages[keyof ServerMessages]} ServerMessage */

/**
 * @typedef {{type: string, [field: string]: unknown}} ClientMessage
 */

/** @type {ReadonlySet<string>} what a client of this version knows; others are passed over */
export const MESSAGE_TYPES = new Set([
  "ready",
  "state",
  "text",
  "transcript",
  "turn",
  "tool",
  "confirm",
  "client_tool",
  "thought",
  "grounding",
  "code",
  "image",
  "file",
  "artifact",
  "model",
  "session_state",
  "agent",
  "latency",
  "usage",
  "error",
  "goaway",
  "pong",
]);
