/**
 * The conversation as a list of rows: what was said and typed, and the tools that were used.
 *
 * @module transcript
 */

import { WORDS, duration } from "./strings.js";

const ROWS_KEPT = 200;
const TOOL_CHARACTERS = 160;

/**
 * @typedef {object} Row  what a row shows; plain data, so that it can be stored
 * @property {"user" | "agent" | "tool" | "note"} role
 * @property {number} turn  the answer it belongs to, 0 where none is known
 * @property {number} call  turns are counted anew in every call
 * @property {string} text
 * @property {boolean} final
 * @property {boolean} [typed]  a turn of the user that was typed
 * @property {boolean} [streamed]  an answer that came as text and not as a transcript
 * @property {boolean} [interrupted]
 * @property {string} [heard]  as much of an interrupted answer as went out
 * @property {number} [responseMs]
 * @property {string} [id]  of the tool call
 * @property {string} [args]
 * @property {string} [result]
 */

export class Transcript {
  #list;
  #announce;
  /** @type {{row: Row, element: HTMLLIElement}[]} */
  #entries = [];
  #call = 0;
  /** The timing that came before the first words of its answer. */
  #timing = { call: 0, turn: 0, responseMs: 0 };

  /**
   * @param {HTMLOListElement} list
   * @param {(words: string) => void} announce  gets every utterance that is final
   */
  constructor(list, announce) {
    this.#list = list;
    this.#announce = announce;
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** A new call counts its turns from 1 again, and ends what the one before left open. */
  beginCall() {
    this.#call += 1;
    for (const entry of this.#entries) {
      if (!entry.row.final) this.#change(entry, { final: true });
    }
  }

  /** @param {string} text  what the user typed */
  addTyped(text) {
    this.#append({ role: "user", turn: 0, call: this.#call, text, final: true, typed: true });
  }

  /** @param {string} text  a sentence of the page's own */
  addNote(text) {
    this.#append({ role: "note", turn: 0, call: this.#call, text, final: true });
  }

  /**
   * Takes one message of the contract; those that show nothing are passed over.
   *
   * @param {any} message
   */
  take(message) {
    switch (message.type) {
      case "transcript":
        if (message.role === "user") this.#onUserTranscript(message);
        else this.#onAgentTranscript(message);
        break;
      case "text":
        this.#onText(message);
        break;
      case "tool":
        this.#onTool(message);
        break;
      case "turn":
        this.#onTurn(message);
        break;
      case "latency":
        this.#onLatency(message);
        break;
    }
  }

  clear() {
    this.#entries.length = 0;
    this.#list.replaceChildren();
  }

  /** @returns {Row[]} what {@link restore} takes */
  rows() {
    return this.#entries.map((entry) => entry.row);
  }

  /** @param {Row[]} rows  of an earlier visit */
  restore(rows) {
    for (const row of rows) {
      this.#append({ ...row, final: true });
      this.#call = Math.max(this.#call, row.call);
    }
  }

  // ----------------------------------------------------------------- messages

  /** @param {{text: string, final: boolean, turn: number}} message */
  #onUserTranscript({ text, final, turn }) {
    const spoken = this.#findLast((row) => row.role === "user" && row.turn === turn);
    const isNewUtterance = spoken?.row.final && !text.startsWith(spoken.row.text);
    if (spoken && !isNewUtterance) {
      this.#change(spoken, { text, final });
      if (final) this.#announceRow(spoken.row);
      return;
    }
    const typed = this.#findLast((row) => Boolean(row.typed) && row.turn === 0);
    if (typed && typed.row.text.trim() === text.trim()) {
      this.#change(typed, { turn });
      return;
    }
    const row = { role: /** @type {const} */ ("user"), turn, call: this.#call, text, final };
    const answer = this.#entries.find(
      (entry) =>
        entry.row.call === this.#call && entry.row.role === "agent" && entry.row.turn >= turn,
    );
    // A transcript can come after the answer to it; it is read before it.
    this.#insert(row, answer);
    if (final) this.#announceRow(row);
  }

  /** @param {{text: string, final: boolean, turn: number}} message */
  #onAgentTranscript({ text, final, turn }) {
    const entry = this.#answer(turn);
    if (entry.row.streamed) return;
    this.#change(entry, { text, final: final || entry.row.final });
    if (final) this.#announceRow(entry.row);
  }

  /** @param {{data: string, turn: number}} message */
  #onText({ data, turn }) {
    const entry = this.#answer(turn);
    const before = entry.row.streamed ? entry.row.text : "";
    this.#change(entry, { text: before + data, streamed: true });
  }

  /** @param {{phase: string, id: string, name: string, args?: unknown, result?: unknown}} message */
  #onTool({ phase, id, name, args, result }) {
    let entry = this.#findLast((row) => row.role === "tool" && row.id === id);
    entry ??= this.#append({
      role: "tool",
      turn: 0,
      call: this.#call,
      text: name,
      final: false,
      id,
      args: args === undefined ? "" : brief(args),
    });
    if (phase === "result") {
      this.#change(entry, { final: true, result: result === undefined ? "" : brief(result) });
    } else if (phase === "cancelled") {
      this.#change(entry, { final: true, result: WORDS.cancelled });
    }
  }

  /** @param {{turn: number, interrupted: boolean, heard_text?: string}} message */
  #onTurn({ turn, interrupted, heard_text: heard }) {
    const entry = this.#findLast((row) => row.role === "agent" && row.turn === turn);
    if (!entry) return;
    const wasFinal = entry.row.final;
    this.#change(entry, { final: true, interrupted, heard: interrupted ? heard : undefined });
    if (!wasFinal) this.#announceRow(entry.row);
  }

  /** @param {{turn: number, response_ms?: number}} message */
  #onLatency({ turn, response_ms: responseMs }) {
    if (responseMs === undefined) return;
    const entry = this.#findLast((row) => row.role === "agent" && row.turn === turn);
    if (entry) this.#change(entry, { responseMs });
    else this.#timing = { call: this.#call, turn, responseMs };
  }

  // --------------------------------------------------------------------- rows

  /**
   * The agent's row of a turn, made where there is none.
   *
   * @param {number} turn
   */
  #answer(turn) {
    const entry = this.#findLast((row) => row.role === "agent" && row.turn === turn);
    if (entry) return entry;
    const { call, turn: timedTurn, responseMs } = this.#timing;
    const isTimed = call === this.#call && timedTurn === turn;
    return this.#append({
      role: "agent",
      turn,
      call: this.#call,
      text: "",
      final: false,
      responseMs: isTimed ? responseMs : undefined,
    });
  }

  /** @param {(row: Row) => boolean} matches  of the current call */
  #findLast(matches) {
    return this.#entries.findLast(({ row }) => row.call === this.#call && matches(row));
  }

  /** @param {Row} row */
  #append(row) {
    return this.#insert(row, undefined);
  }

  /**
   * @param {Row} row
   * @param {{row: Row, element: HTMLLIElement} | undefined} before
   */
  #insert(row, before) {
    const entry = { row, element: document.createElement("li") };
    const index = before ? this.#entries.indexOf(before) : this.#entries.length;
    this.#entries.splice(index, 0, entry);
    this.#list.insertBefore(entry.element, before?.element ?? null);
    draw(entry.row, entry.element);
    if (this.#entries.length > ROWS_KEPT) this.#entries.shift()?.element.remove();
    return entry;
  }

  /**
   * @param {{row: Row, element: HTMLLIElement}} entry
   * @param {Partial<Row>} change
   */
  #change(entry, change) {
    Object.assign(entry.row, change);
    draw(entry.row, entry.element);
  }

  /** @param {Row} row */
  #announceRow(row) {
    this.#announce(`${row.role === "user" ? WORDS.user : WORDS.agent}: ${row.heard ?? row.text}`);
  }
}

/**
 * @param {Row} row
 * @param {HTMLLIElement} element
 */
function draw(row, element) {
  element.className = `row ${row.role}`;
  element.classList.toggle("provisional", !row.final);
  element.classList.toggle("interrupted", Boolean(row.interrupted));
  element.dataset.role = row.role;
  element.dataset.turn = String(row.turn);
  element.dataset.final = String(row.final);
  if (row.role === "tool") element.replaceChildren(...toolParts(row));
  else if (row.role === "note") element.replaceChildren(row.text);
  else element.replaceChildren(...utteranceParts(row));
}

/** @param {Row} row */
function utteranceParts(row) {
  const speaker = span("speaker sr-only", `${row.role === "user" ? WORDS.user : WORDS.agent}: `);
  const words = document.createElement("p");
  words.className = "words";
  const heard = row.heard;
  if (row.interrupted && heard !== undefined && row.text.startsWith(heard)) {
    words.append(heard);
    if (heard.length < row.text.length) {
      words.append(span("unheard", row.text.slice(heard.length)));
    }
  } else {
    words.append(row.text);
  }
  const parts = [speaker, words];
  const remarks = [];
  if (row.interrupted) remarks.push(WORDS.interrupted);
  if (row.responseMs !== undefined) remarks.push(duration(row.responseMs));
  if (remarks.length > 0) parts.push(span("remark", remarks.join(" · ")));
  return parts;
}

/** @param {Row} row */
function toolParts(row) {
  const call = document.createElement("code");
  call.textContent = row.args ? `${row.text}(${row.args})` : row.text;
  const outcome = row.final ? row.result : WORDS.running;
  return outcome ? [call, span("result", outcome)] : [call];
}

/**
 * A tool's arguments or result in one short line.
 *
 * @param {unknown} value
 */
function brief(value) {
  let line;
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    const fields = Object.entries(value).map(([name, one]) => `${name}: ${JSON.stringify(one)}`);
    line = fields.join(", ");
  } else {
    line = typeof value === "string" ? value : JSON.stringify(value);
  }
  return line.length <= TOOL_CHARACTERS ? line : `${line.slice(0, TOOL_CHARACTERS)}…`;
}

/**
 * @param {string} className
 * @param {string} text
 */
function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
