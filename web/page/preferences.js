/**
 * What a person has chosen for good: it survives a reload, and holds for all conversations.
 *
 * @module preferences
 */

import { visits } from "./storage.js";

const STORAGE_KEY = "rtc.preferences";

/**
 * @typedef {object} Choices
 * @property {string} microphone  device id; empty: the system's default
 * @property {string} speaker  the same
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {boolean} holdToTalk
 */

/** @type {Readonly<Choices>} */
const DEFAULTS = Object.freeze({
  microphone: "",
  speaker: "",
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  holdToTalk: false,
});

export class Preferences {
  /** @type {Choices} */
  #choices = { ...DEFAULTS, ...remembered() };

  /** @returns {Readonly<Choices>} */
  get choices() {
    return this.#choices;
  }

  /** @param {Partial<Choices>} choices */
  choose(choices) {
    Object.assign(this.#choices, choices);
    visits.write(STORAGE_KEY, this.#choices);
  }

  /** @returns {MediaTrackConstraints} what the microphone is to be opened with */
  get microphone() {
    const { microphone, echoCancellation, noiseSuppression, autoGainControl } = this.#choices;
    const processing = { echoCancellation, noiseSuppression, autoGainControl };
    return microphone ? { ...processing, deviceId: { ideal: microphone } } : processing;
  }
}

/** @returns {Partial<Choices>} those of an earlier visit that still are choices */
function remembered() {
  const stored = visits.read(STORAGE_KEY);
  const known = Object.entries(DEFAULTS).filter(
    ([name, value]) => typeof stored?.[name] === typeof value,
  );
  return Object.fromEntries(known.map(([name]) => [name, stored[name]]));
}
