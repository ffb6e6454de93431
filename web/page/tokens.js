/**
 * What the model has counted: tokens of the newest answer, and of all of them together.
 *
 * @module tokens
 */

import { element } from "./elements.js";
import { PANEL } from "./strings.js";

/** @typedef {{turn?: unknown, [count: string]: unknown}} Usage  a `usage` message */

/** Of a message, in the order in which they are shown. */
const COUNTS = /** @type {const} */ ([
  "prompt_tokens",
  "response_tokens",
  "thoughts_tokens",
  "cached_tokens",
  "tool_tokens",
  "total_tokens",
]);

/** Models report what an answer took so far, several times: the last of a turn counts. */
export class Tokens {
  element = element("dl", "names tokens");
  /** @type {Map<unknown, Partial<Record<typeof COUNTS[number], number>>>} by turn, in this connection */
  #turns = new Map();
  /** Of connections before. */
  #before = 0;

  constructor() {
    this.element.hidden = true;
  }

  /** @param {Usage} usage */
  take(usage) {
    /** @type {Partial<Record<typeof COUNTS[number], number>>} */
    const counts = {};
    for (const name of COUNTS) {
      const count = usage[name];
      if (typeof count === "number" && Number.isFinite(count)) counts[name] = count;
    }
    if (Object.keys(counts).length === 0) return;
    this.#turns.delete(usage.turn);
    this.#turns.set(usage.turn, counts);
    this.#draw(counts);
  }

  /** Another connection counts its turns from 1. */
  onConnection() {
    this.#before = this.#total;
    this.#turns.clear();
  }

  get #total() {
    let total = this.#before;
    for (const one of this.#turns.values()) total += one.total_tokens ?? 0;
    return total;
  }

  /** @param {Partial<Record<typeof COUNTS[number], number>>} counts */
  #draw(counts) {
    const known = COUNTS.flatMap((name) => counts[name] ?? []).length > 0;
    this.element.hidden = !known;
    const rows = COUNTS.flatMap((name) => {
      const count = counts[name];
      return count === undefined ? [] : [row(PANEL.tokens[name], count)];
    });
    const total = this.#total;
    if (total > (counts.total_tokens ?? 0)) rows.push(row(PANEL.tokensInAll, total));
    this.element.replaceChildren(...rows);
  }
}

/**
 * @param {string} label
 * @param {number} count
 */
function row(label, count) {
  const made = element("div", "name");
  const value = element("dd");
  value.append(element("bdi", "", PANEL.count(count)));
  made.append(element("dt", "", label), value);
  return made;
}
