/**
 * What the time until an answer was made of, as bars on one scale.
 *
 * @module latency_bars
 */

import { niceCeiling } from "./plot.js";
import { PANEL } from "./strings.js";

/** @typedef {"endpoint" | "model" | "agent" | "playout" | "silence" | "network"} PartName */
/** @typedef {{name: PartName, ms: number}} Part */

/**
 * @typedef {object} Latency the server's `latency` message
 * @property {number} turn
 * @property {number} [response_ms]
 * @property {number} [endpoint_ms]
 * @property {number} [agent_ms]
 * @property {number} [playout_ms]
 */

/**
 * @typedef {object} Answer
 * @property {Latency} latency
 * @property {number | null} networkMs  round trip and jitter buffer, where they are known
 */

const ANSWERS_MAX = 20;
/** The scale does not end below this. */
const FLOOR_MS = 500;
/** What the legend shows before there is an answer. */
const USUAL_PARTS = /** @type {PartName[]} */ (["endpoint", "model", "playout", "network"]);

/**
 * The parts of an answer's time, in order; together they are its response time as the server
 * measured it, and the network. What is left of it after the first packet is silence that the
 * answer begins with.
 *
 * @param {Answer} answer
 * @returns {Part[]} none for an answer that nobody asked for
 */
export function partsOf({ latency, networkMs }) {
  const { response_ms: responseMs, endpoint_ms: endpointMs, agent_ms: agentMs } = latency;
  if (typeof responseMs !== "number") return [];
  const playoutMs = latency.playout_ms ?? 0;
  const knowsBoth = typeof endpointMs === "number" && typeof agentMs === "number";
  /** @type {[PartName, number][]} */
  const measured = knowsBoth
    ? [
        ["endpoint", endpointMs],
        ["model", agentMs],
      ]
    : [["agent", agentMs ?? responseMs - playoutMs]];
  measured.push(["playout", playoutMs], ["silence", Infinity]);

  let leftMs = responseMs;
  /** @type {Part[]} */
  const parts = measured.map(([name, ms]) => {
    const takenMs = Math.min(leftMs, Math.max(0, ms));
    leftMs -= takenMs;
    return { name, ms: takenMs };
  });
  if (networkMs !== null) parts.push({ name: "network", ms: Math.max(0, networkMs) });
  // The parts are told to a tenth of a millisecond: what rounding leaves is no silence.
  return parts.filter(({ name, ms }) => name !== "silence" || ms >= 1);
}

/** @param {Part[]} parts */
export function totalMsOf(parts) {
  return parts.reduce((sum, { ms }) => sum + ms, 0);
}

/** The newest answers, the newest first. */
export class LatencyBars {
  /** @type {Answer[]} */
  #answers = [];
  #empty = document.createElement("p");
  #legend = document.createElement("dl");
  #list = document.createElement("ol");
  #scale = document.createElement("div");
  #ticks = span("bar-ticks");

  constructor() {
    this.element = document.createElement("div");
    this.element.className = "latency-bars";
    this.#empty.className = "panel-empty";
    this.#empty.textContent = PANEL.noAnswers;
    this.#legend.className = "legend";
    this.#legend.ariaLabel = PANEL.newest;
    this.#list.className = "bars";
    this.#list.reversed = true;
    this.#scale.className = "bar-scale";
    this.#scale.ariaHidden = "true";
    this.#scale.append(this.#ticks);
    this.element.append(this.#empty, this.#legend, this.#list, this.#scale);
  }

  /** The answers that have parts, the oldest first. */
  get answers() {
    return this.#answers;
  }

  /** @param {Answer} answer */
  add(answer) {
    this.#answers.push(answer);
    if (this.#answers.length > ANSWERS_MAX) this.#answers.shift();
  }

  /** Shows the answers as they are now. */
  draw() {
    const rows = this.#answers.map((answer) => {
      const parts = partsOf(answer);
      return { turn: answer.latency.turn, parts, totalMs: totalMsOf(parts) };
    });
    rows.reverse();
    const ceilingMs = niceCeiling(Math.max(FLOOR_MS, ...rows.map(({ totalMs }) => totalMs)));
    this.#empty.hidden = rows.length > 0;
    this.#scale.hidden = rows.length === 0;
    this.#legend.replaceChildren(...legendOf(rows[0]?.parts ?? []));
    this.#list.replaceChildren(...rows.map((row) => rowOf(row, ceilingMs)));
    this.#ticks.replaceChildren(
      ...[0, ceilingMs / 2, ceilingMs].map((ms) => bdi(ms ? PANEL.milliseconds(ms) : "0")),
    );
  }
}

/**
 * @param {{turn: number, parts: Part[], totalMs: number}} row
 * @param {number} ceilingMs
 */
function rowOf({ turn, parts, totalMs }, ceilingMs) {
  const item = document.createElement("li");
  const words = parts.map(wordsOf).join(", ");
  const bar = span("bar-track");
  for (const part of parts) {
    const segment = span("bar-part");
    segment.dataset.part = part.name;
    segment.title = wordsOf(part);
    segment.style.setProperty("--share", String(part.ms / ceilingMs));
    bar.append(segment);
  }
  const shown = span("bar-row");
  shown.ariaHidden = "true";
  const total = span("bar-total");
  total.append(bdi(PANEL.milliseconds(Math.round(totalMs))));
  shown.append(span("bar-turn", String(turn)), bar, total);
  item.append(span("sr-only", PANEL.answer(turn, totalMs, words)), shown);
  return item;
}

/** @param {Part[]} parts  of the newest answer */
function legendOf(parts) {
  const names = parts.length > 0 ? parts.map(({ name }) => name) : USUAL_PARTS;
  return names.map((name) => {
    const entry = document.createElement("div");
    const key = span("legend-key bar-part");
    key.dataset.part = name;
    key.ariaHidden = "true";
    const term = document.createElement("dt");
    term.append(key, PANEL.parts[name]);
    const value = document.createElement("dd");
    const part = parts.find((it) => it.name === name);
    if (part) value.append(bdi(PANEL.milliseconds(Math.round(part.ms))));
    entry.append(term, value);
    return entry;
  });
}

/** @param {Part} part */
function wordsOf({ name, ms }) {
  return `${PANEL.parts[name]} ${PANEL.milliseconds(Math.round(ms))}`;
}

/**
 * @param {string} className
 * @param {string} [text]
 */
function span(className, text = "") {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

/**
 * A number and its unit stay in their order among words that run from right to left.
 *
 * @param {string} text
 */
function bdi(text) {
  const element = document.createElement("bdi");
  element.textContent = text;
  return element;
}
