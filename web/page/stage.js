/**
 * What the agent is doing, as something alive: the orb, its word, and both sides' levels.
 *
 * @module stage
 */

import { LevelMeter } from "../client/call.js";
import { byId } from "./elements.js";
import { STATES } from "./strings.js";

/** How fast a shown level falls, by frame: it rises at once, as ears expect. */
const FALL = 0.88;

export class Stage {
  #element = byId("stage", HTMLElement);
  #word = byId("stage-word", HTMLElement);
  #chip = byId("state", HTMLElement);
  #chipText = byId("state-text", HTMLElement);
  #own = new Level([this.#element, byId("mute", HTMLElement), byId("hold", HTMLElement)], "--own");
  #agents = new Level([this.#element], "--agents");

  /**
   * @param {string} state  a key of `STATES`
   * @param {object} [how]
   * @param {string} [how.words]  another key of `STATES`, where the words differ
   * @param {"muted" | "hold" | ""} [how.closed]  why the microphone is closed; empty: it is not
   */
  show(state, { words = state, closed = "" } = {}) {
    const muted = closed !== "";
    const sentences = /** @type {Record<string, string>} */ (STATES);
    document.body.dataset.state = state;
    this.#element.dataset.state = state;
    this.#element.dataset.muted = String(muted);
    this.#chip.dataset.state = state;
    this.#chip.dataset.muted = String(muted);
    // Nobody is heard through a closed microphone.
    const shown = muted && state === "listening" ? closed : words;
    const text = sentences[shown] ?? state;
    if (this.#chipText.textContent !== text) this.#chipText.textContent = text;
    this.#word.textContent = text;
  }

  /** @param {"hidden" | "small" | "large"} size */
  resize(size) {
    this.#element.dataset.size = size;
  }

  /** @param {MediaStream | null} stream  the microphone */
  hearOwn(stream) {
    this.#own.of(stream);
  }

  /** @param {MediaStream | null} stream  the agent */
  hearAgent(stream) {
    this.#agents.of(stream);
  }
}

/** The level of one stream, as a CSS variable from 0 to 1. */
class Level {
  #elements;
  #name;
  #level = 0;
  /** What the variable says: it is not written for a change that nobody sees. */
  #written = 0;
  /** @type {LevelMeter | null} */
  #meter = null;

  /**
   * @param {HTMLElement[]} elements  that get the variable
   * @param {string} name
   */
  constructor(elements, name) {
    this.#elements = elements;
    this.#name = name;
  }

  /** @param {MediaStream | null} stream */
  of(stream) {
    this.#meter?.close();
    this.#meter = null;
    this.#write(0);
    if (stream === null || stream.getAudioTracks().length === 0) return;
    this.#meter = new LevelMeter(stream, (level) => this.#onLevel(level));
  }

  /** @param {number} level */
  #onLevel(level) {
    this.#write(Math.max(level, this.#level * FALL));
  }

  /** @param {number} level */
  #write(level) {
    this.#level = level < 0.005 ? 0 : level;
    const written = Math.round(this.#level * 100) / 100;
    if (written === this.#written) return;
    this.#written = written;
    for (const one of this.#elements) one.style.setProperty(this.#name, written.toFixed(2));
  }
}
