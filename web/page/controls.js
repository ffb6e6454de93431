/**
 * The buttons and keys of the call: start, mute, hold to talk, stop, hang up.
 *
 * @module controls
 */

import { byId } from "./elements.js";
import { PAGE, WORDS } from "./strings.js";

/** Where a letter is text, or chooses. */
const LETTERS_ARE_TAKEN = "input, textarea, select, [contenteditable]";
/** Where the space bar is text, or presses what has the focus. */
const SPACE_IS_TAKEN = `${LETTERS_ARE_TAKEN}, button, a, summary`;

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
  /** Whether the space bar is down to talk: then it presses no button. */
  #isSpaceHeld = false;

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
    document.addEventListener("keyup", (event) => this.#onKeyUp(event));
    // A key or finger that is lifted elsewhere is not seen here.
    addEventListener("blur", () => this.#talk(false));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#talk(false);
    });
  }

  /** @param {ControlsState} state */
  show(state) {
    this.#state = state;
    const { audio, muted, holdToTalk, answering } = state;
    if (!audio) this.#talk(false);
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
      if (!event.repeat) this.#talk(true);
    });
    // The key that was pressed here is lifted elsewhere.
    this.#hold.addEventListener("blur", () => this.#talk(false));
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog:modal, [popover]:popover-open")) return;
    if (event.key === "Escape") this.#say("interrupt");
    if (!this.#state.audio) return;
    if (event.code === "Space") this.#onSpace(event);
    else if (event.key.toLowerCase() === PAGE.keyMute.toLowerCase() && !event.repeat) {
      if (isIn(event, LETTERS_ARE_TAKEN) || this.#state.holdToTalk) return;
      this.#say("mute", !this.#state.muted);
    }
  }

  /**
   * Held, it opens a muted microphone. On the mute button it does too: that is where the focus
   * is after a start, and Enter presses it all the same.
   *
   * @param {KeyboardEvent} event
   */
  #onSpace(event) {
    const isOnMute = event.target === this.#mute;
    if (isIn(event, SPACE_IS_TAKEN) && !isOnMute) return;
    if (isOnMute && !this.#state.muted && !event.repeat) return; // it mutes
    event.preventDefault(); // nor does the page scroll
    if (!this.#state.muted || event.repeat) return;
    this.#isSpaceHeld = true;
    this.#talk(true);
  }

  /** @param {KeyboardEvent} event */
  #onKeyUp(event) {
    if (event.code !== "Space" && event.code !== "Enter") return;
    if (event.code === "Space") {
      if (this.#isSpaceHeld) event.preventDefault(); // a click, in some browsers
      this.#isSpaceHeld = false;
    }
    this.#talk(false);
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

/**
 * @param {Event} event
 * @param {string} selectors
 */
function isIn({ target }, selectors) {
  return target instanceof Element && target.closest(selectors) !== null;
}
