/**
 * The figures of a connection in the panel: each with a minute of its past, and those that are names.
 *
 * @module figures
 */

import { element } from "./elements.js";
import { Plot } from "./plot.js";
import { PANEL } from "./strings.js";

/** @typedef {import("../client/statistics.js").CallStats} CallStats */

/** @typedef {{atMs: number, stats: CallStats | null}} Sample */

/**
 * @typedef {object} Figure
 * @property {string} label
 * @property {number} floor  of the plot's scale
 * @property {boolean} ofAudio  a text call has none of it
 * @property {(stats: CallStats) => number | null | undefined} value  in the unit that is shown
 * @property {(value: number) => string} words
 */

const { milliseconds, percent, kilobits } = PANEL;

/** @type {Figure[]} */
const FIGURES = [
  {
    label: PANEL.roundTrip,
    floor: 50,
    ofAudio: false,
    value: (it) => it.roundTripMs,
    words: milliseconds,
  },
  {
    label: PANEL.jitterDown,
    floor: 20,
    ofAudio: true,
    value: (it) => it.downlink?.jitterMs,
    words: milliseconds,
  },
  {
    label: PANEL.jitterUp,
    floor: 20,
    ofAudio: true,
    value: (it) => it.uplink?.jitterMs,
    words: milliseconds,
  },
  {
    label: PANEL.lossDown,
    floor: 5,
    ofAudio: true,
    value: (it) => times(it.downlink?.lossShare, 100),
    words: percent,
  },
  {
    label: PANEL.lossUp,
    floor: 5,
    ofAudio: true,
    value: (it) => times(it.uplink?.lossShare, 100),
    words: percent,
  },
  {
    label: PANEL.jitterBuffer,
    floor: 100,
    ofAudio: true,
    value: (it) => it.downlink?.jitterBufferMs,
    words: milliseconds,
  },
  {
    label: PANEL.bitrateDown,
    floor: 50,
    ofAudio: true,
    value: (it) => times(it.downlink?.bitrate, 0.001),
    words: kilobits,
  },
  {
    label: PANEL.bitrateUp,
    floor: 50,
    ofAudio: true,
    value: (it) => times(it.uplink?.bitrate, 0.001),
    words: kilobits,
  },
];

/** @type {{label: string, ofAudio: boolean, words: (stats: CallStats) => string | null | undefined}[]} */
const NAMES = [
  { label: PANEL.codecDown, ofAudio: true, words: (it) => it.downlink?.codec },
  { label: PANEL.codecUp, ofAudio: true, words: (it) => it.uplink?.codec },
  { label: PANEL.path, ofAudio: false, words: pathOf },
];

export class Figures {
  /** @type {{figure: Figure, plot: Plot, row: HTMLElement, value: HTMLElement}[]} */
  #figures = [];
  /** @type {{words: (stats: CallStats) => string | null | undefined, ofAudio: boolean, row: HTMLElement, value: HTMLElement}[]} */
  #names = [];

  /** @returns {HTMLElement[]} to be shown one below the other */
  build() {
    return [this.#buildFigures(), this.#buildNames()];
  }

  /**
   * @param {readonly Sample[]} samples  oldest first
   * @param {boolean} isAudio  a text call has fewer figures
   */
  draw(samples, isAudio) {
    const nowMs = performance.now();
    const newest = samples.at(-1)?.stats ?? null;
    for (const { figure, plot, row, value } of this.#figures) {
      row.hidden = figure.ofAudio && !isAudio;
      if (row.hidden) continue;
      const points = samples.map(({ atMs, stats }) => ({
        atMs,
        value: (stats && figure.value(stats)) ?? null,
      }));
      const now = newest && figure.value(newest);
      value.textContent = now == null ? PANEL.unknown : figure.words(now);
      plot.draw(points, nowMs);
    }
    for (const { words, ofAudio, row, value } of this.#names) {
      row.hidden = ofAudio && !isAudio;
      value.textContent = (newest && words(newest)) || PANEL.unknown;
    }
  }

  #buildFigures() {
    const list = element("dl", "figures");
    this.#figures = FIGURES.map((figure) => {
      const plot = new Plot(figure.floor);
      const value = element("bdi", "", PANEL.unknown);
      const shown = element("span", "figure-value");
      shown.append(value);
      const description = element("dd", "");
      description.append(plot.element, shown);
      const row = element("div", "figure");
      row.append(element("dt", "", figure.label), description);
      list.append(row);
      return { figure, plot, row, value };
    });
    return list;
  }

  #buildNames() {
    const list = element("dl", "names");
    this.#names = NAMES.map(({ label, words, ofAudio }) => {
      const value = element("bdi", "", PANEL.unknown);
      const description = element("dd", "");
      description.append(value);
      const row = element("div", "name");
      row.append(element("dt", "", label), description);
      list.append(row);
      return { words, ofAudio, row, value };
    });
    return list;
  }
}

/** @param {CallStats} stats */
function pathOf({ candidates }) {
  if (!candidates) return null;
  const { local, remote, protocol, relayProtocol, networkType } = candidates;
  const relay = relayProtocol && `TURN/${relayProtocol.toUpperCase()}`;
  const rest = [protocol.toUpperCase(), relay, networkType].flatMap((it) => it || []);
  return PANEL.candidates(local, remote, rest);
}

/**
 * @param {number | null | undefined} value
 * @param {number} factor
 */
function times(value, factor) {
  return value == null ? null : value * factor;
}
