/**
 * What happened in a call, in short lines: types, states, turns and lengths.
 *
 * The words that were said, file contents, names of devices, tokens and addresses are never in
 * it: every field of a message that is kept is named here.
 *
 * @module event_log
 */

/** @typedef {"server" | "client" | "page"} Origin who said it */
/** @typedef {Record<string, string | number | boolean>} Facts */

/**
 * @typedef {object} CallEvent
 * @property {number} atMs  since the call began
 * @property {Origin} from
 * @property {string} type
 * @property {Facts} facts
 */

/** @typedef {Record<string, unknown>} Fields */

const EVENTS_MAX = 200;
const NAME = /^[\w.:/+-]{1,64}$/;

/**
 * What is told of a message, by its type. A fact that is undefined is left out.
 *
 * @type {Record<string, (message: Fields) => Record<string, string | number | boolean | undefined>>}
 */
const FACTS = {
  ready: (it) => ({
    agent: name(it.agent),
    modality: name(it.modality),
    resumed: it.resumed === true,
  }),
  state: (it) => ({ state: name(it.state) }),
  text: (it) => ({ turn: number(it.turn), pieces: 1, characters: length(it.data) }),
  transcript: (it) => ({
    turn: number(it.turn),
    role: name(it.role),
    characters: length(it.text),
    updates: 1,
    final: it.final === true,
  }),
  turn: (it) => ({
    turn: number(it.turn),
    complete: it.turn_complete === true,
    interrupted: it.interrupted === true,
    heard_ms: number(it.heard_ms),
    heard_characters: length(it.heard_text),
  }),
  tool: (it) => ({
    name: name(it.name),
    phase: name(it.phase),
    failed: it.failed === true,
    truncated: it.truncated === true,
  }),
  session_state: (it) => ({ keys: size(it.delta) }),
  agent: (it) => ({ name: name(it.name) }),
  latency: (it) => ({
    turn: number(it.turn),
    response_ms: number(it.response_ms),
    endpoint_ms: number(it.endpoint_ms),
    agent_ms: number(it.agent_ms),
    playout_ms: number(it.playout_ms),
    uplink_ms: number(it.uplink_ms),
  }),
  usage: (it) => ({
    turn: number(it.turn),
    prompt: number(it.prompt_tokens),
    response: number(it.response_tokens),
    thoughts: number(it.thoughts_tokens),
    cached: number(it.cached_tokens),
    tools: number(it.tool_tokens),
    total: number(it.total_tokens),
  }),
  confirm: (it) => ({
    name: name(it.name),
    seconds: number(it.seconds),
    confirmed: flag(it.confirmed),
  }),
  client_tool: (it) => ({ name: name(it.name), seconds: number(it.seconds) }),
  client_tool_result: (it) => ({ failed: it.error !== undefined }),
  thought: (it) => ({ turn: number(it.turn), pieces: 1, characters: length(it.text) }),
  grounding: (it) => ({
    turn: number(it.turn),
    queries: size(it.queries),
    sources: size(it.sources),
  }),
  code: (it) => ({
    turn: number(it.turn),
    phase: name(it.phase),
    language: name(it.language),
    outcome: name(it.outcome),
    characters: length(it.code ?? it.output),
  }),
  file: (it) => ({ turn: number(it.turn), mime_type: name(it.mime_type) }),
  artifact: (it) => ({ version: number(it.version) }),
  model: (it) => ({ state: name(it.state), name: name(it.name) }),
  error: (it) => ({ code: name(it.code), retryable: it.retryable === true }),
  goaway: (it) => ({ reason: name(it.reason), seconds: number(it.seconds) }),
  ping: () => ({ sent: 1 }),
  pong: () => ({ answered: 1 }),

  image: (it) => ({ mime_type: name(it.mime_type), bytes: bytesOfBase64(it.data) }),
  activity: (it) => ({ state: name(it.state) }),
  mute: (it) => ({ muted: it.muted === true }),

  status: (it) => ({
    line: name(it.line),
    audio: it.audio === true,
    problem: name(/** @type {Fields | null | undefined} */ (it.problem)?.code),
    retry_in_s: it.line === "waiting" ? number(it.retryInS) : undefined,
  }),
  video: (it) => ({ open: Boolean(it.stream), reason: name(it.reason), kind: name(it.kind) }),
  microphone: (it) => ({ open: Boolean(it.stream), reason: name(it.reason) }),
};

/** The newest events of a call. Pure: nothing here knows the page or the clock. */
export class EventLog {
  /** @type {CallEvent[]} */
  #events = [];
  /** Lines that what comes next of the same kind is folded into. @type {Map<string, CallEvent>} */
  #open = new Map();

  /** In the order in which they began. */
  get events() {
    return this.#events;
  }

  /**
   * Writes down an event, or folds it into the line that it goes on with.
   *
   * @param {Origin} from
   * @param {string} type
   * @param {unknown} detail
   * @param {number} atMs  since the call began
   * @returns {CallEvent} the line, which may be one that was there before
   */
  take(from, type, detail, atMs) {
    const fields = /** @type {Fields} */ (typeof detail === "object" && detail ? detail : {});
    const facts = factsOf(type, fields);
    if (type === "ready") this.#open.clear();
    if (type === "turn") this.#open.delete(`text ${fields.turn}`);
    const key = foldingKey(from, type, fields);
    const line = key === null ? undefined : this.#open.get(key);
    const event = line ?? this.#add({ atMs, from, type: name(type) ?? "?", facts });
    if (line) fold(line.facts, facts);
    if (key !== null) this.#open.set(key, event);
    if (key !== null && fields.final === true) this.#open.delete(key);
    return event;
  }

  /** @param {CallEvent} event */
  #add(event) {
    // Pings fold only into the line just before.
    this.#open.delete("ping");
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) {
      const gone = this.#events.shift();
      for (const [key, line] of this.#open) if (line === gone) this.#open.delete(key);
    }
    return event;
  }
}

/**
 * The facts of an event as one line of text: `turn=3 role=user characters=42 final`.
 *
 * @param {CallEvent} event
 */
export function factsAsText({ facts }) {
  return Object.entries(facts)
    .filter(([, value]) => value !== false)
    .map(([key, value]) => (value === true ? key : `${key}=${value}`))
    .join(" ");
}

/**
 * @param {string} type
 * @param {Fields} fields
 * @returns {Facts}
 */
function factsOf(type, fields) {
  const facts = Object.hasOwn(FACTS, type) ? (FACTS[type]?.(fields) ?? {}) : {};
  /** @type {Facts} */
  const known = {};
  for (const [key, value] of Object.entries(facts)) if (value !== undefined) known[key] = value;
  return known;
}

/**
 * @param {Origin} from
 * @param {string} type
 * @param {Fields} fields
 * @returns {string | null} events with the same key share a line
 */
function foldingKey(from, type, fields) {
  switch (type) {
    case "text":
      return from === "server" ? `text ${fields.turn}` : null;
    case "thought":
      return `thought ${fields.turn}`;
    case "transcript":
      return `transcript ${fields.role} ${fields.turn}`;
    case "ping":
    case "pong":
      return "ping";
    default:
      return null;
  }
}

/**
 * Counts add up; the rest is as it is now. `characters` of a transcript is the whole of it.
 *
 * @param {Facts} line
 * @param {Facts} facts  that came after
 */
function fold(line, facts) {
  const isText = "pieces" in facts;
  for (const [key, value] of Object.entries(facts)) {
    const counts = ["updates", "pieces", "sent", "answered"].includes(key);
    const before = line[key] ?? 0;
    const adds = counts || (isText && key === "characters");
    line[key] = adds && typeof value === "number" ? Number(before) + value : value;
  }
}

/**
 * A name of the wire; what does not look like one is not told.
 *
 * @param {unknown} value
 */
function name(value) {
  return typeof value === "string" && NAME.test(value) ? value : undefined;
}

/** @param {unknown} value */
function number(value) {
  return typeof value === "number" && Number.isFinite(value)
    ? Math.round(value * 10) / 10
    : undefined;
}

/** @param {unknown} value */
function length(value) {
  return typeof value === "string" ? value.length : undefined;
}

/** @param {unknown} value */
function flag(value) {
  return typeof value === "boolean" ? value : undefined;
}

/** @param {unknown} value */
function size(value) {
  return typeof value === "object" && value ? Object.keys(value).length : undefined;
}

/** @param {unknown} value */
function bytesOfBase64(value) {
  return typeof value === "string" ? Math.floor((value.length * 3) / 4) : undefined;
}
