/**
 * The settings: which microphone and speaker, how the microphone is processed, how one talks.
 *
 * @module settings
 */

import { listDevices } from "../client/call.js";
import { byId } from "./elements.js";
import { WORDS } from "./strings.js";

/** @typedef {import("./preferences.js").Preferences} Preferences */
/** @typedef {import("./preferences.js").Choices} Choices */

const SWITCHES = /** @type {const} */ ([
  "echoCancellation",
  "noiseSuppression",
  "autoGainControl",
  "holdToTalk",
]);

/**
 * Events: `microphone` when another one, or other processing, was chosen; `speaker`;
 * `holdToTalk`. What was chosen stands in the preferences by then.
 */
export class Settings extends EventTarget {
  #dialog = byId("settings", HTMLDialogElement);
  #microphone = byId("microphone", HTMLSelectElement);
  #speaker = byId("speaker", HTMLSelectElement);
  #preferences;

  /**
   * @param {Preferences} preferences
   * @param {boolean} canChooseSpeaker
   */
  constructor(preferences, canChooseSpeaker) {
    super();
    this.#preferences = preferences;
    byId("settings-open", HTMLButtonElement).addEventListener("click", () => this.open());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside the sheet
    });
    this.#listenToSwitches();
    this.#listenToSelect(this.#microphone, "microphone");
    this.#listenToSelect(this.#speaker, "speaker");
    this.#speaker.disabled = !canChooseSpeaker;
    byId("speaker-fixed", HTMLElement).hidden = canChooseSpeaker;
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.refresh());
    this.refresh();
  }

  open() {
    this.refresh();
    this.#dialog.showModal();
  }

  /** Shows the devices that are there now; to be called when the microphone was allowed. */
  async refresh() {
    const { microphones, speakers } = await listDevices();
    const { choices } = this.#preferences;
    fill(this.#microphone, microphones, choices.microphone, WORDS.unnamedMicrophone);
    fill(this.#speaker, speakers, choices.speaker, WORDS.unnamedSpeaker);
  }

  // ---------------------------------------------------------------------------

  #listenToSwitches() {
    for (const name of SWITCHES) {
      const box = byId(name, HTMLInputElement);
      box.checked = this.#preferences.choices[name];
      box.addEventListener("change", () => {
        this.#preferences.choose({ [name]: box.checked });
        this.#say(name === "holdToTalk" ? name : "microphone");
      });
    }
  }

  /**
   * @param {HTMLSelectElement} select
   * @param {"microphone" | "speaker"} name
   */
  #listenToSelect(select, name) {
    select.addEventListener("change", () => {
      this.#preferences.choose({ [name]: select.value });
      this.#say(name);
    });
  }

  /** @param {string} type */
  #say(type) {
    this.dispatchEvent(new Event(type));
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {string} chosen  device id
 * @param {string} unnamed  what a device without a name is called
 */
function fill(select, devices, chosen, unnamed) {
  // The browser's own aliases of one of the others.
  const real = devices.filter((one) => !["default", "communications"].includes(one.deviceId));
  const options = [new Option(real.length > 0 ? WORDS.defaultDevice : WORDS.allowToChoose, "")];
  for (const [index, one] of real.entries()) {
    options.push(new Option(one.label || `${unnamed} ${index + 1}`, one.deviceId));
  }
  select.replaceChildren(...options);
  // One that is not there now is used again when it comes; until then it is the default one.
  select.value = real.some((one) => one.deviceId === chosen) ? chosen : "";
}
