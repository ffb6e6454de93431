/**
 * The conversation as plain data: what was said and typed, the tools that were used, and when.
 *
 * It has no DOM: messages go in by method calls, and `change` and `final` events come out.
 *
 * @module transcript
 */

import { WORDS, clockTime, duration, pictureSent } from "./strings.js";

const ENTRIES_KEPT = 5_000;
/** Of all entries together. */
const CHARACTERS_KEPT = 2 * 1024 * 1024;
/** Of one utterance; as long as the longest message. */
const TEXT_CHARACTERS = 256 * 1024;
/** Of a tool's arguments, and of its result, as JSON. */
const VALUE_CHARACTERS = 16 * 1024;
/** What is nested deeper is kept as JSON: the stack that walks through it is the browser's. */
const VALUE_LEVELS = 24;
const BRIEF_CHARACTERS = 160;

/** @typedef {"user" | "agent" | "tool" | "note" | "picture"} Role */
/** @typedef {"running" | "done" | "cancelled" | "lost"} ToolState  lost: its call ended first */

/**
 * @typedef {object} Tool
 * @property {string} id
 * @property {string} name
 * @property {ToolState} state
 * @property {unknown} [args]  absent where the server does not show them; JSON where it is deep
 * @property {unknown} [result]
 * @property {boolean} [truncated]  `args` or `result` were too long; then they are strings
 */

/**
 * @typedef {object} Latency  the parts of a `latency` message
 * @property {number} [response_ms]
 * @property {number} [endpoint_ms]
 * @property {number} [agent_ms]
 * @property {number} [playout_ms]
 * @property {number} [uplink_ms]
 */

/**
 * @typedef {object} Entry  plain data, so that it can be stored
 * @property {Role} role
 * @property {number} call  turns are counted anew in every call
 * @property {number} turn  the answer it belongs to, 0 where none is known
 * @property {number} at  when it began, ms since 1970
 * @property {string} text
 * @property {boolean} final
 * @property {number} [settled]  as many characters of a provisional text as the one before had too
 * @property {boolean} [typed]  a turn of the user that was typed
 * @property {boolean} [streamed]  an answer that came as text and not as a transcript
 * @property {boolean} [interrupted]
 * @property {string} [said]  what was shown before the final transcript, until the turn ends
 * @property {string} [heard]  as much of an interrupted answer as went out
 * @property {number} [heardMs]
 * @property {number} [responseMs]
 * @property {Latency} [latency]
 * @property {string} [agent]  the name of the agent that answered
 * @property {Tool} [tool]
 * @property {boolean} [gone]  the note, always the first entry, that earlier ones are not kept
 */

/**
 * @typedef {object} Change  `detail` of `change`
 * @property {Entry} entry
 * @property {"added" | "changed" | "removed"} kind
 */

/** @typedef {{entry: Entry, words: string}} Final  `detail` of `final` */

/** @typedef {{type: string}} Message  any message of the contract */
/** @typedef {Message & {role: string, text: string, final: boolean, turn: number}} TranscriptMessage */
/** @typedef {Message & {data: string, turn: number}} TextMessage */
/**
 * @typedef {Message & {turn: number, interrupted: boolean, heard_ms?: number,
 *   heard_text?: string}} TurnMessage
 */
/**
 * @typedef {Message & {phase: string, id: string, name: string, args?: unknown, result?: unknown,
 *   truncated?: boolean}} ToolMessage
 */
/** @typedef {Message & Latency & {turn: number}} LatencyMessage */

/**
 * Emits `change` ({@link Change}) for every entry that came, changed or went, and `final`
 * ({@link Final}) with the words of every utterance that is over, once.
 */
export class Transcript extends EventTarget {
  #now;
  /** @type {Entry[]} */
  #entries = [];
  /** @type {WeakMap<Entry, number>} how many characters each one holds */
  #sizes = new WeakMap();
  #characters = 0;
  #call = 0;
  #sessionId = "";
  #agent = "";
  /**
   * The timing that came before the first words of its answer.
   *
   * @type {{call: number, turn: number, at: number, latency: Latency} | null}
   */
  #timing = null;

  /** @param {{now?: () => number}} [options]  `now`: ms since 1970 */
  constructor({ now = Date.now } = {}) {
    super();
    this.#now = now;
  }

  /** @returns {readonly Entry[]} in the order in which they are read; what {@link restore} takes */
  get entries() {
    return this.#entries;
  }

  /**
   * What {@link restore} takes, where there is no room for all {@link entries}.
   *
   * @param {number} count
   * @returns {readonly Entry[]} so many of the newest, after a note where there are others
   */
  newest(count) {
    if (count >= this.#entries.length) return this.#entries;
    const kept = this.#entries.slice(-count);
    return [goneNote(/** @type {Entry} */ (kept[0]).at), ...kept];
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** A new call counts its turns from 1 again, and ends what the one before left open. */
  beginCall() {
    this.#call += 1;
    for (const entry of [...this.#entries]) {
      if (!entry.final) this.#change(entry, ended(entry));
    }
  }

  /** @param {string} text  what the user typed */
  addTyped(text) {
    this.#append({ ...this.#blank("user"), text, final: true, typed: true });
  }

  /** @param {string} text  a sentence of the page's own */
  addNote(text) {
    this.#append({ ...this.#blank("note"), text, final: true });
  }

  /**
   * A picture was sent; the picture itself is not kept.
   *
   * @param {{type: string, size: number}} picture  a Blob
   */
  addPicture({ type, size }) {
    this.#append({ ...this.#blank("picture"), text: pictureSent(type, size), final: true });
  }

  /**
   * Takes one message of the contract; those that show nothing are passed over.
   *
   * @param {Message} message
   */
  take(message) {
    switch (message.type) {
      case "ready":
        this.#onReady(/** @type {Message & {session_id: string, agent: string}} */ (message));
        break;
      case "agent":
        this.#agent = /** @type {Message & {name: string}} */ (message).name;
        break;
      case "transcript":
        this.#onTranscript(/** @type {TranscriptMessage} */ (message));
        break;
      case "text":
        this.#onText(/** @type {TextMessage} */ (message));
        break;
      case "tool":
        this.#onTool(/** @type {ToolMessage} */ (message));
        break;
      case "turn":
        this.#onTurn(/** @type {TurnMessage} */ (message));
        break;
      case "latency":
        this.#onLatency(/** @type {LatencyMessage} */ (message));
        break;
    }
  }

  clear() {
    for (const entry of this.#entries.splice(0)) this.#emit(entry, "removed");
    this.#characters = 0;
    this.#timing = null;
    this.#sessionId = "";
  }

  /**
   * Takes what was stored on an earlier visit; what does not look like an entry, out of an older
   * page, is passed over.
   *
   * @param {unknown} stored  what {@link entries} was
   */
  restore(stored) {
    if (!Array.isArray(stored)) return;
    for (const one of stored.filter(isEntry)) {
      this.#append({ ...one, ...(one.final ? {} : ended(one)) });
      this.#call = Math.max(this.#call, one.call);
    }
  }

  // ------------------------------------------------------------------ exports

  /**
   * The conversation to read:
   *
   *     [14:03:05] You: Tell me a story.
   *     [14:03:06] Agent (480 ms): Once upon (not heard: a time.)
   *
   * @returns {string}
   */
  toText() {
    return this.#entries.map((entry) => `[${clockTime(entry.at)}] ${line(entry)}\n`).join("");
  }

  /**
   * The conversation for programs.  The shape is stable: a later one only adds, or counts
   * `version` up.  `entries` are {@link Entry}, oldest first.
   *
   * @returns {{version: 1, exportedAt: string, sessionId: string | null, agent: string | null,
   *   entries: Entry[]}}
   */
  toJson() {
    return {
      version: 1,
      exportedAt: new Date(this.#now()).toISOString(),
      sessionId: this.#sessionId || null,
      agent: this.#agent || null,
      entries: structuredClone(this.#entries),
    };
  }

  // ----------------------------------------------------------------- messages

  /** @param {{session_id: string, agent: string}} message */
  #onReady({ session_id: sessionId, agent }) {
    this.#sessionId = sessionId;
    this.#agent = agent;
  }

  /** @param {TranscriptMessage} message */
  #onTranscript(message) {
    if (message.role === "user") this.#onUserTranscript(message);
    else this.#onAgentTranscript(message);
  }

  /** @param {TranscriptMessage} message */
  #onUserTranscript({ text, final, turn }) {
    const spoken = this.#findLast((entry) => entry.role === "user" && entry.turn === turn);
    const isNewUtterance = spoken?.final && !text.startsWith(spoken.text);
    if (spoken && !isNewUtterance) {
      const settled = final ? undefined : settledCharacters(spoken.text, text);
      this.#changeUtterance(spoken, { text, final, settled });
      return;
    }
    const typed = this.#findLast((entry) => Boolean(entry.typed) && entry.turn === 0);
    if (typed && typed.text.trim() === text.trim()) {
      this.#change(typed, { turn });
      return;
    }
    // A transcript can come after the answer to it; it is read before it, and was said before it.
    const answer = this.#entries.find(
      (entry) => entry.call === this.#call && entry.role === "agent" && entry.turn >= turn,
    );
    const blank = this.#blank("user");
    const at = Math.min(blank.at, answer?.at ?? Infinity);
    const settled = final ? undefined : 0;
    const entry = this.#insert({ ...blank, turn, at, text, final, settled }, answer);
    if (final) this.#emitFinal(entry);
  }

  /** @param {TranscriptMessage} message */
  #onAgentTranscript({ text, final, turn }) {
    const entry = this.#answer(turn);
    if (entry.streamed) return;
    // The last word on an interrupted answer is what was heard; the rest has been seen all the same.
    const said = final && entry.text.startsWith(text) ? entry.text : undefined;
    if (final || !entry.final) this.#changeUtterance(entry, { text, final, said });
    else this.#change(entry, { text }); // the tail of an answer that is over
  }

  /** @param {TextMessage} message */
  #onText({ data, turn }) {
    const entry = this.#answer(turn);
    const before = entry.streamed ? entry.text : "";
    this.#change(entry, { text: before + data, streamed: true });
  }

  /** @param {ToolMessage} message */
  #onTool({ phase, id, name, args, result, truncated }) {
    let entry = this.#findLast((one) => one.tool?.id === id);
    entry ??= this.#append({
      ...this.#blank("tool"),
      text: name,
      tool: { id, name, state: "running" },
    });
    const tool = { .../** @type {Tool} */ (entry.tool) };
    if (phase !== "call") tool.state = phase === "result" ? "done" : "cancelled";
    for (const [key, value] of [
      ["args", args],
      ["result", result],
    ]) {
      if (value !== undefined) Object.assign(tool, bounded(/** @type {string} */ (key), value));
    }
    if (truncated) tool.truncated = true;
    this.#change(entry, { final: tool.state !== "running", tool });
  }

  /** @param {TurnMessage} message */
  #onTurn({ turn, interrupted, heard_ms: heardMs, heard_text: heard }) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (!entry) return;
    const { final: wasFinal, said, text } = entry;
    const cut = interrupted ? { interrupted, heard, heardMs, text: said ?? text } : {};
    this.#change(entry, { final: true, said: undefined, ...cut });
    if (!wasFinal) this.#emitFinal(entry);
  }

  /** @param {LatencyMessage} message */
  #onLatency({ type: _type, turn, ...latency }) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (entry) this.#change(entry, { latency, responseMs: latency.response_ms });
    else this.#timing = { call: this.#call, turn, at: this.#now(), latency };
  }

  // ------------------------------------------------------------------ entries

  /**
   * The agent's entry of a turn, made where there is none.
   *
   * @param {number} turn
   */
  #answer(turn) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (entry) return entry;
    const blank = { ...this.#blank("agent"), turn, agent: this.#agent || undefined };
    const timing = this.#timing;
    if (timing?.call !== this.#call || timing.turn !== turn) return this.#append(blank);
    const { at, latency } = timing;
    return this.#append({ ...blank, at, latency, responseMs: latency.response_ms });
  }

  /**
   * @param {Role} role
   * @returns {Entry}
   */
  #blank(role) {
    return { role, call: this.#call, turn: 0, at: this.#now(), text: "", final: false };
  }

  /** @param {(entry: Entry) => boolean} matches  of the current call */
  #findLast(matches) {
    return this.#entries.findLast((entry) => entry.call === this.#call && matches(entry));
  }

  /** @param {Entry} entry */
  #append(entry) {
    return this.#insert(entry, undefined);
  }

  /**
   * @param {Entry} entry
   * @param {Entry | undefined} before
   */
  #insert(entry, before) {
    const index = before ? this.#entries.indexOf(before) : this.#entries.length;
    entry.text = entry.text.slice(0, TEXT_CHARACTERS);
    this.#entries.splice(index, 0, entry);
    this.#measure(entry);
    this.#emit(entry, "added");
    this.#dropOldest();
    return entry;
  }

  /** @param {Entry} entry  one of those kept, that came or changed */
  #measure(entry) {
    const size = charactersOf(entry);
    this.#characters += size - (this.#sizes.get(entry) ?? 0);
    this.#sizes.set(entry, size);
  }

  /** Makes room, and says so; the newest entry is kept whatever it holds. */
  #dropOldest() {
    let first = this.#entries[0]?.gone ? 1 : 0;
    let at = 0;
    while (
      this.#entries.length > first + 1 &&
      (this.#entries.length > ENTRIES_KEPT || this.#characters > CHARACTERS_KEPT)
    ) {
      const [dropped] = /** @type {[Entry]} */ (this.#entries.splice(first, 1));
      at = dropped.at;
      this.#characters -= this.#sizes.get(dropped) ?? 0;
      this.#sizes.delete(dropped);
      this.#emit(dropped, "removed");
      if (first === 1) continue;
      first = 1;
      this.#entries.unshift(goneNote(at));
      this.#emit(/** @type {Entry} */ (this.#entries[0]), "added");
    }
    if (at > 0) Object.assign(/** @type {Entry} */ (this.#entries[0]), { at });
  }

  /**
   * @param {Entry} entry
   * @param {Partial<Entry>} change
   */
  #change(entry, change) {
    Object.assign(entry, change);
    entry.text = entry.text.slice(0, TEXT_CHARACTERS);
    this.#measure(entry);
    this.#emit(entry, "changed");
    this.#dropOldest();
  }

  /**
   * @param {Entry} entry
   * @param {Partial<Entry>} change  after which it may be over
   */
  #changeUtterance(entry, change) {
    const { final: wasFinal, text: before } = entry;
    this.#change(entry, change);
    if (entry.final && !(wasFinal && entry.text === before)) this.#emitFinal(entry);
  }

  /**
   * @param {Entry} entry
   * @param {Change["kind"]} kind
   */
  #emit(entry, kind) {
    this.dispatchEvent(new CustomEvent("change", { detail: { entry, kind } }));
  }

  /** @param {Entry} entry */
  #emitFinal(entry) {
    const speaker = entry.role === "user" ? WORDS.user : WORDS.agent;
    const words = `${speaker}: ${entry.heard ?? entry.text}`;
    this.dispatchEvent(new CustomEvent("final", { detail: { entry, words } }));
  }
}

/**
 * An answer in two parts: what was heard, and what was not.
 *
 * @param {Entry} entry
 * @returns {[heard: string, unheard: string]}
 */
export function heardParts({ text, interrupted, heard }) {
  const isCut = interrupted && heard !== undefined && text.startsWith(heard);
  return isCut ? [heard, text.slice(heard.length)] : [text, ""];
}

/**
 * A tool's arguments or result in one short line.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function brief(value) {
  let words;
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    const fields = Object.entries(value).map(([name, one]) => `${name}: ${JSON.stringify(one)}`);
    words = fields.join(", ");
  } else {
    words = typeof value === "string" ? value : JSON.stringify(value);
  }
  return words.length <= BRIEF_CHARACTERS ? words : `${words.slice(0, BRIEF_CHARACTERS)}…`;
}

/**
 * What a tool has come to, in a few words.
 *
 * @param {Tool} tool
 * @returns {string}
 */
export function outcome({ state, result }) {
  if (state === "running") return WORDS.running;
  if (state === "cancelled") return WORDS.cancelled;
  if (state === "lost") return WORDS.noResult;
  return result === undefined ? "" : brief(result);
}

/** @param {Entry} entry  one line of {@link Transcript.toText}, without its time */
function line(entry) {
  if (entry.tool) {
    const { name, args } = entry.tool;
    const end = outcome(entry.tool);
    const called = `${name}(${args === undefined ? "" : brief(args)})`;
    return `${WORDS.tool}: ${called}${end ? ` → ${end}` : ""}`;
  }
  if (entry.role === "note") return entry.text;
  if (entry.role !== "agent") return `${WORDS.user}: ${entry.text}`;
  const took = entry.responseMs === undefined ? "" : ` (${duration(entry.responseMs)})`;
  const [heard, unheard] = heardParts(entry);
  const words = [heard.trimEnd()];
  if (unheard) words.push(`(${WORDS.notHeard}: ${unheard.trim()})`);
  else if (entry.interrupted) words.push(`(${WORDS.interrupted})`);
  return `${WORDS.agent}${took}: ${words.filter(Boolean).join(" ")}`;
}

/**
 * @param {number} at  until when nothing is kept
 * @returns {Entry}
 */
function goneNote(at) {
  const text = WORDS.earlierGone;
  return { role: "note", call: 0, turn: 0, at, text, final: true, gone: true };
}

/** @param {Entry} entry */
function charactersOf({ text, said, heard, tool }) {
  const words = text.length + (said?.length ?? 0) + (heard?.length ?? 0);
  return tool ? words + JSON.stringify(tool).length : words;
}

/**
 * How an open entry is left when its call is gone.
 *
 * @param {Entry} entry
 * @returns {Partial<Entry>}
 */
function ended(entry) {
  const tool = entry.tool && { ...entry.tool, state: /** @type {const} */ ("lost") };
  return { final: true, settled: undefined, ...(tool && { tool }) };
}

/**
 * How much of a provisional text stands: whole words that the text before had as well.
 *
 * @param {string} before
 * @param {string} text
 */
function settledCharacters(before, text) {
  let same = 0;
  while (same < before.length && before[same] === text[same]) same += 1;
  const isWhole = same === text.length || /\s/.test(text[same] ?? "");
  return isWhole ? same : text.lastIndexOf(" ", same) + 1;
}

/**
 * A value of a tool under its key, no longer than is kept.
 *
 * @param {string} key
 * @param {unknown} value
 */
function bounded(key, value) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch {
    return { [key]: "…", truncated: true }; // nested deeper than the stack
  }
  if (json.length <= VALUE_CHARACTERS) {
    return { [key]: isNested(value, VALUE_LEVELS) ? json : value };
  }
  return { [key]: `${json.slice(0, VALUE_CHARACTERS - 1)}…`, truncated: true };
}

/**
 * @param {unknown} value
 * @param {number} levels
 * @returns {boolean}  whether it is nested deeper than that
 */
function isNested(value, levels) {
  if (value === null || typeof value !== "object") return false;
  return levels === 0 || Object.values(value).some((one) => isNested(one, levels - 1));
}

/**
 * @param {unknown} value
 * @returns {value is Entry}
 */
function isEntry(value) {
  if (value === null || typeof value !== "object") return false;
  const { role, call, turn, at, text } = /** @type {Record<string, unknown>} */ (value);
  const isKnown = ["user", "agent", "tool", "note", "picture"].includes(String(role));
  const isPlaced = [call, turn, at].every(Number.isFinite);
  const hasTool = role !== "tool" || "tool" in value;
  return isKnown && isPlaced && hasTool && typeof text === "string";
}
