/**
 * The rows of a conversation as plain data, in a list that has bounds.
 *
 * @module entries
 */

import { WORDS } from "./strings.js";

const ENTRIES_KEPT = 5_000;
/** Of all entries together. */
const CHARACTERS_KEPT = 2 * 1024 * 1024;
/** Of one utterance; as long as the longest message. */
const TEXT_CHARACTERS = 256 * 1024;
/** Pictures are kept for as long as the page is open, the newest of them. */
const PICTURES_KEPT = 40;

/** What else an entry of a role must hold, beside what all have. */
const NEEDS = Object.freeze({
  user: "text",
  agent: "text",
  tool: "tool",
  note: "text",
  picture: "text",
  image: "text",
  code: "code",
  sources: "sources",
  thought: "text",
});

/** @typedef {keyof typeof NEEDS} Role  picture: the person's; image: the agent's */
/** @typedef {"running" | "done" | "failed" | "cancelled" | "lost"} ToolState  lost: its call ended first */

/**
 * @typedef {object} Tool
 * @property {string} id
 * @property {string} name
 * @property {ToolState} state
 * @property {boolean} [longRunning]  the agent goes on without waiting for it
 * @property {unknown} [args]  absent where the server does not show them; JSON where it is deep
 * @property {unknown} [result]  while it runs: the last that it said
 * @property {boolean} [truncated]  `args` or `result` were too long; then they are strings
 */

/**
 * @typedef {object} Code
 * @property {string} language
 * @property {string} [outcome]
 * @property {string} [output]
 * @property {boolean} [truncated]
 */

/**
 * @typedef {object} Sources
 * @property {string[]} queries
 * @property {{uri: string, title: string}[]} links  `uri` is empty where it is none of the web's
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
 * @property {boolean} [isNamed]  several agents have spoken: it is shown which
 * @property {Tool} [tool]
 * @property {Code} [code]  `text` is what was written
 * @property {Sources} [sources]
 * @property {boolean} [gone]  the note, always the first entry, that earlier ones are not kept
 */

/**
 * @typedef {object} Change
 * @property {Entry} entry
 * @property {"added" | "changed" | "removed"} kind
 */

export class Entries {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {WeakMap<Entry, number>} how many characters each one holds */
  #sizes = new WeakMap();
  #characters = 0;
  /** @type {Map<Entry, Blob>} */
  #pictures = new Map();
  #onChange;

  /** @param {(change: Change) => void} onChange  for every entry that came, changed or went */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @returns {readonly Entry[]} in the order in which they are read */
  get all() {
    return this.#entries;
  }

  /**
   * @param {number} count
   * @returns {readonly Entry[]} so many of the newest, after a note where there are others
   */
  newest(count) {
    if (count >= this.#entries.length) return this.#entries;
    const kept = this.#entries.slice(-count);
    return [goneNote(/** @type {Entry} */ (kept[0]).at), ...kept];
  }

  /**
   * @param {Entry} entry
   * @param {Entry} [before]  the one that is to follow it; else it is the last
   */
  insert(entry, before) {
    const index = before ? this.#entries.indexOf(before) : this.#entries.length;
    entry.text = entry.text.slice(0, TEXT_CHARACTERS);
    this.#entries.splice(index, 0, entry);
    this.#measure(entry);
    this.#onChange({ entry, kind: "added" });
    this.#dropOldest();
    return entry;
  }

  /**
   * @param {Entry} entry
   * @param {Partial<Entry>} change
   */
  change(entry, change) {
    Object.assign(entry, change);
    entry.text = entry.text.slice(0, TEXT_CHARACTERS);
    this.#measure(entry);
    this.#onChange({ entry, kind: "changed" });
    this.#dropOldest();
  }

  clear() {
    this.#pictures.clear();
    this.#characters = 0;
    for (const entry of this.#entries.splice(0)) this.#onChange({ entry, kind: "removed" });
  }

  /**
   * Keeps the picture of an entry for as long as there is room for it.
   *
   * @param {Entry} entry  that is going to be inserted
   * @param {Blob} picture
   */
  keepPicture(entry, picture) {
    this.#pictures.set(entry, picture);
    const [oldest] = this.#pictures.keys();
    if (oldest && this.#pictures.size > PICTURES_KEPT) {
      this.#pictures.delete(oldest);
      this.#onChange({ entry: oldest, kind: "changed" });
    }
  }

  /** @param {Entry} entry */
  pictureOf(entry) {
    return this.#pictures.get(entry) ?? null;
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
      this.#pictures.delete(dropped);
      this.#onChange({ entry: dropped, kind: "removed" });
      if (first === 1) continue;
      first = 1;
      this.#entries.unshift(goneNote(at));
      this.#onChange({ entry: /** @type {Entry} */ (this.#entries[0]), kind: "added" });
    }
    if (at > 0) Object.assign(/** @type {Entry} */ (this.#entries[0]), { at });
  }
}

/**
 * How an open entry is left when its call is gone.
 *
 * @param {Entry} entry
 * @returns {Partial<Entry>}
 */
export function ended(entry) {
  const tool = entry.tool && { ...entry.tool, state: /** @type {const} */ ("lost") };
  return { final: true, settled: undefined, ...(tool && { tool }) };
}

/**
 * @param {unknown} value
 * @returns {value is Entry}
 */
export function isEntry(value) {
  if (value === null || typeof value !== "object") return false;
  const { role, call, turn, at, text } = /** @type {Record<string, unknown>} */ (value);
  const needed = Object.hasOwn(NEEDS, String(role)) && NEEDS[/** @type {Role} */ (role)];
  const isPlaced = [call, turn, at].every(Number.isFinite);
  return isPlaced && typeof text === "string" && Boolean(needed) && String(needed) in value;
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
function charactersOf({ text, said, heard, tool, code, sources }) {
  let characters = text.length + (said?.length ?? 0) + (heard?.length ?? 0);
  for (const one of [tool, code, sources]) if (one) characters += JSON.stringify(one).length;
  return characters;
}
