/**
 * What a person has chosen for good: it survives a reload, and holds for all conversations.
 *
 * @module preferences
 */

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
  #storage;
  /** @type {Choices} */
  #choices;

  /** @param {Storage} [storage] */
  constructor(storage = localStorage) {
    this.#storage = storage;
    this.#choices = { ...DEFAULTS, ...this.#read() };
  }

  /** @returns {Readonly<Choices>} */
  get choices() {
    return this.#choices;
  }

  /** @param {Partial<Choices>} choices */
  choose(choices) {
    Object.assign(this.#choices, choices);
    try {
      this.#storage.setItem(STORAGE_KEY, JSON.stringify(this.#choices));
    } catch {
      // Storage is full or forbidden: the choice holds until the page is left.
    }
  }

  /** @returns {MediaTrackConstraints} what the microphone is to be opened with */
  get microphone() {
    const { microphone, echoCancellation, noiseSuppression, autoGainControl } = this.#choices;
    const processing = { echoCancellation, noiseSuppression, autoGainControl };
    return microphone ? { ...processing, deviceId: { ideal: microphone } } : processing;
  }

  /** @returns {Partial<Choices>} those of an earlier visit that still are choices */
  #read() {
    /** @type {Record<string, unknown>} */
    let stored = {};
    try {
      stored = JSON.parse(this.#storage.getItem(STORAGE_KEY) ?? "{}");
    } catch {
      // Another version wrote it, or storage is forbidden.
    }
    const known = Object.entries(DEFAULTS).filter(
      ([name, value]) => typeof stored?.[name] === typeof value,
    );
    return Object.fromEntries(known.map(([name]) => [name, stored[name]]));
  }
}
