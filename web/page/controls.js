/**
 * The buttons and keys of the call: start, mute, hold to talk, stop, hang up.
 *
 * @module controls
 */

import { byId } from "./elements.js";
import { PAGE, WORDS } from "./strings.js";

/** Where a key is text, or presses what has the focus. */
const KEYS_ARE_TAKEN = "input, textarea, select, button, a, summary, [contenteditable]";

/**
 * @typedef {object} ControlsState
 * @property {boolean} audio  whether this is an audio call
 * @property {boolean} muted
 * @property {boolean} holdToTalk
 * @property {boolean} answering  whether there is an answer to stop
 */

/** Events: `start`, `hangup`, `interrupt`, `mute` (`detail`: muted), `talk` (`detail`: pressed). */
export class Controls extends EventTarget {
  #start = byId("start", HTMLButtonElement);
  #startText = byId("start-text", HTMLElement);
  #hold = byId("hold", HTMLButtonElement);
  #holdText = byId("hold-text", HTMLElement);
  #mute = byId("mute", HTMLButtonElement);
  #muteText = byId("mute-text", HTMLElement);
  #interrupt = byId("interrupt", HTMLButtonElement);
  #hangUp = byId("hangup", HTMLButtonElement);
  #text = byId("text", HTMLTextAreaElement);
  /** @type {ControlsState} */
  #state = { audio: false, muted: false, holdToTalk: false, answering: false };
  #isTalking = false;

  constructor() {
    super();
    this.#startText.textContent = WORDS.startAudio;
    this.#start.addEventListener("click", () => this.#say("start"));
    this.#mute.addEventListener("click", () => this.#say("mute", !this.#state.muted));
    this.#interrupt.addEventListener("click", () => this.#say("interrupt"));
    this.#hangUp.addEventListener("click", () => {
      this.#say("hangup");
      this.#start.focus();
    });
    this.#listenToHold();
    document.addEventListener("keydown", (event) => this.#onKeyDown(event));
    document.addEventListener("keyup", (event) => {
      if (event.code === "Space") this.#talk(false);
    });
    // A key or finger that is lifted elsewhere is not seen here.
    addEventListener("blur", () => this.#talk(false));
  }

  /** @param {ControlsState} state */
  show(state) {
    this.#state = state;
    const { audio, muted, holdToTalk, answering } = state;
    this.#keepFocus(() => {
      this.#start.hidden = audio;
      this.#mute.hidden = !audio || holdToTalk;
      this.#hold.hidden = !audio || !holdToTalk;
      this.#hangUp.hidden = !audio;
      this.#interrupt.hidden = !answering;
    });
    this.#mute.dataset.muted = String(muted);
    this.#muteText.textContent = muted ? WORDS.unmute : WORDS.mute;
    this.#holdText.textContent = this.#isTalking ? WORDS.talking : PAGE.hold;
    this.#hold.classList.toggle("pressed", this.#isTalking);
    if (!audio) this.#isTalking = false;
  }

  /** @param {boolean} starting  while the browser asks for the microphone */
  showStarting(starting) {
    this.#start.disabled = starting;
    this.#startText.textContent = starting ? WORDS.startingAudio : WORDS.startAudio;
  }

  /** After the call was started from the keyboard, the next thing at hand is the microphone. */
  focusMicrophone() {
    (this.#state.holdToTalk ? this.#hold : this.#mute).focus();
  }

  // ---------------------------------------------------------------------------

  #listenToHold() {
    this.#hold.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#hold.setPointerCapture(event.pointerId);
      this.#talk(true);
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.#hold.addEventListener(type, () => this.#talk(false));
    }
    this.#hold.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#hold.addEventListener("keydown", (event) => {
      if (event.code !== "Enter" && event.code !== "Space") return;
      event.preventDefault();
      this.#talk(true);
    });
    this.#hold.addEventListener("keyup", () => this.#talk(false));
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog:modal, [popover]:popover-open")) return;
    if (event.key === "Escape") this.#say("interrupt");
    const isTaken = event.target instanceof Element && event.target.closest(KEYS_ARE_TAKEN);
    if (isTaken || !this.#state.audio) return;
    if (event.code === "Space") {
      event.preventDefault(); // nor does the page scroll
      if (this.#state.muted && !event.repeat) this.#talk(true);
    } else if (event.key.toLowerCase() === PAGE.keyMute.toLowerCase() && !event.repeat) {
      if (!this.#state.holdToTalk) this.#say("mute", !this.#state.muted);
    }
  }

  /** @param {boolean} pressed */
  #talk(pressed) {
    if (this.#isTalking === pressed || (pressed && !this.#state.audio)) return;
    this.#isTalking = pressed;
    this.#say("talk", pressed);
    this.show(this.#state);
  }

  /**
   * A button that goes while it has the focus hands it to the message field.
   *
   * @param {() => void} change
   */
  #keepFocus(change) {
    const focused = document.activeElement;
    change();
    if (focused instanceof HTMLElement && focused.closest(".controls") && focused.hidden) {
      this.#text.focus();
    }
  }

  /**
   * @param {string} type
   * @param {boolean} [detail]
   */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
