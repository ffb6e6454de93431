/**
 * What the agent is shown: the buttons for camera, screen and pictures, and the preview of what it
 * sees.
 *
 * @module eyes
 */

import { CallProblem, canShareScreen, listCameras } from "../client/call.js";
import { byId } from "./elements.js";
import { PAGE, WORDS } from "./strings.js";

/** @typedef {import("../client/call.js").Call} Call */
/** @typedef {import("../client/call.js").VideoChange} VideoChange */

/**
 * Events: `problem`, with its code in `detail`; `news`, with words for who does not see the page.
 */
export class Eyes extends EventTarget {
  #call;
  #buttons = {
    camera: byId("camera", HTMLButtonElement),
    screen: byId("screen", HTMLButtonElement),
  };
  #attach = byId("attach", HTMLButtonElement);
  #card = byId("eyes", HTMLElement);
  #preview = byId("eyes-preview", HTMLVideoElement);
  #words = byId("eyes-words", HTMLElement);
  #flip = byId("eyes-flip", HTMLButtonElement);
  /** Whether the browser is asking the person. */
  #isAsking = false;
  #isFolded = false;
  /** The camera that was used last; empty: whichever the browser takes. */
  #deviceId = "";

  /** @param {Call} call */
  constructor(call) {
    super();
    this.#call = call;
    call.on("video", (change) => this.#onVideo(change));
    call.on("status", () => this.#show());
    this.#buttons.screen.hidden = !canShareScreen();
    for (const kind of /** @type {const} */ (["camera", "screen"])) {
      this.#buttons[kind].addEventListener("click", () => this.#toggle(kind));
    }
    byId("eyes-fold", HTMLButtonElement).addEventListener("click", () => this.#fold());
    this.#flip.addEventListener("click", () => this.#takeNextCamera());
    this.#show();
  }

  // ---------------------------------------------------------------------------

  /** @param {"camera" | "screen"} kind */
  #toggle(kind) {
    if (this.#call.video?.kind === kind) {
      this.#call.stopVideo();
      return;
    }
    this.#isFolded = false;
    this.#start(kind, this.#deviceId);
  }

  /**
   * @param {"camera" | "screen"} kind
   * @param {string} deviceId
   */
  async #start(kind, deviceId) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#show();
    try {
      await this.#call.startVideo(kind, deviceId ? { deviceId } : {});
      if (kind === "camera") this.#deviceId = deviceId;
    } catch (error) {
      if (kind === "camera") this.#deviceId = ""; // it may be gone
      this.#say("problem", error instanceof CallProblem ? error.code : `${kind}_failed`);
    } finally {
      this.#isAsking = false;
      this.#show();
    }
  }

  async #takeNextCamera() {
    const cameras = await listCameras();
    const used = this.#call.video?.stream.getVideoTracks()[0]?.getSettings().deviceId;
    const at = cameras.findIndex((one) => one.deviceId === used);
    const next = cameras[(at + 1) % cameras.length];
    if (next) this.#start("camera", next.deviceId);
  }

  #fold() {
    this.#isFolded = true;
    const kind = this.#call.video?.kind;
    this.#show();
    if (kind === "camera" || kind === "screen") this.#buttons[kind].focus();
  }

  /** @param {VideoChange} change */
  #onVideo({ reason, kind, stream }) {
    this.#preview.srcObject = stream;
    if (stream) this.#preview.play().catch(() => {}); // it is only looked at
    // Who ends the sharing in the browser's bar knows it; who loses a camera does not.
    if (reason === "ended" && kind === "camera") this.#say("problem", "camera_lost");
    const isOn = kind === "screen" ? WORDS.screenOn : WORDS.cameraOn;
    const isOff = kind === "screen" ? WORDS.screenOff : WORDS.cameraOff;
    this.#say("news", stream ? isOn : isOff);
    this.#flip.hidden = true;
    if (kind === "camera" && stream) this.#offerOthers();
    this.#show();
  }

  async #offerOthers() {
    const cameras = await listCameras();
    this.#flip.hidden = cameras.length < 2 || this.#call.video?.kind !== "camera";
  }

  #show() {
    const { video, takesVideo, takesPictures } = this.#call;
    const isRefused = takesVideo === false;
    const why = takesPictures === false ? WORDS.blind : WORDS.noEyes;
    this.#attach.hidden = takesPictures === false;
    for (const kind of /** @type {const} */ (["camera", "screen"])) {
      const button = this.#buttons[kind];
      const isOn = video?.kind === kind;
      button.ariaPressed = String(isOn);
      // It can still be asked why.
      button.ariaDisabled = String(isRefused);
      button.disabled = this.#isAsking;
      button.title = isRefused ? why : PAGE[kind];
    }
    const facing = video?.stream.getVideoTracks()[0]?.getSettings().facingMode;
    this.#preview.classList.toggle(
      "mirrored",
      video?.kind === "camera" && facing !== "environment",
    );
    this.#words.textContent = video?.kind === "screen" ? WORDS.screenSeen : WORDS.cameraSeen;
    const hadFocus = this.#card.contains(document.activeElement);
    this.#card.hidden = video === null || this.#isFolded;
    if (this.#card.hidden && hadFocus) byId("text", HTMLTextAreaElement).focus();
  }

  /**
   * @param {string} type
   * @param {string} detail
   */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
