/**
 * Entries of a conversation in words: a line of its text, a value in brief.
 *
 * @module wording
 */

import { WORDS, clockTime, duration } from "./strings.js";

/** @typedef {import("./entries.js").Entry} Entry */
/** @typedef {import("./entries.js").Tool} Tool */

const BRIEF_CHARACTERS = 160;

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
export function outcome({ state, result, longRunning }) {
  if (state === "cancelled") return WORDS.cancelled;
  if (state === "lost") return WORDS.noResult;
  const said = result === undefined ? "" : brief(result);
  if (state === "failed") return said ? `${WORDS.failed}: ${said}` : WORDS.failed;
  if (state === "done") return said;
  const going = longRunning ? WORDS.runningLong : WORDS.running;
  return said ? `${said} ${going}` : going;
}

/**
 * An entry as a line of the conversation to read:
 *
 *     [14:03:06] Agent (480 ms): Once upon (not heard: a time.)
 *
 * @param {Entry} entry
 * @returns {string}
 */
export function lineOf(entry) {
  return `[${clockTime(entry.at)}] ${wordsOf(entry)}\n`;
}

/** @param {string} text */
function oneLine(text) {
  return brief(text.trim().replace(/\s+/g, " "));
}

/** @param {Entry} entry */
function wordsOf(entry) {
  if (entry.tool) {
    const { name, args } = entry.tool;
    const end = outcome(entry.tool);
    const called = `${name}(${args === undefined ? "" : brief(args)})`;
    return `${WORDS.tool}: ${called}${end ? ` → ${end}` : ""}`;
  }
  if (entry.code) {
    const { outcome, output } = entry.code;
    const end = output ?? outcome;
    return `${WORDS.code}: ${oneLine(entry.text)}${end ? ` → ${oneLine(end)}` : ""}`;
  }
  if (entry.sources) {
    const { queries, links } = entry.sources;
    const named = links.map(({ title, uri }) =>
      [title, uri && `<${uri}>`].filter(Boolean).join(" "),
    );
    return `${WORDS.sources}: ${[...queries, ...named].join("; ")}`;
  }
  if (entry.role === "note") return entry.text;
  if (entry.role === "thought")
    return `${WORDS.thought}: ${entry.text.trim().replace(/\s+/g, " ")}`;
  if (entry.role === "image") return `${WORDS.agent}: ${entry.text}`;
  if (entry.role !== "agent") return `${WORDS.user}: ${entry.text}`;
  const took = entry.responseMs === undefined ? "" : ` (${duration(entry.responseMs)})`;
  const [heard, unheard] = heardParts(entry);
  const words = [heard.trimEnd()];
  if (unheard) words.push(`(${WORDS.notHeard}: ${unheard.trim()})`);
  else if (entry.interrupted) words.push(`(${WORDS.interrupted})`);
  return `${WORDS.agent}${took}: ${words.filter(Boolean).join(" ")}`;
}
