/**
 * The message field.
 *
 * @module composer
 */

import { byId } from "./elements.js";

/** Whether the style sheet lets the field grow with its text. */
const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");

/**
 * Events: `text`, with what was typed in `detail`, which stays in the field where the event is
 * cancelled; `picture`, with a file that was chosen, pasted, or dropped anywhere on the page.
 */
export class Composer extends EventTarget {
  #form = byId("composer", HTMLFormElement);
  #text = byId("text", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #picture = byId("picture", HTMLInputElement);

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#show());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    byId("attach", HTMLButtonElement).addEventListener("click", () => this.#picture.click());
    this.#picture.addEventListener("change", () => this.#takeChosen());
    this.#text.addEventListener("paste", (event) => this.#takePicture(event, event.clipboardData));
    // A file that is dropped beside the field would take the place of the page, and of the call.
    for (const type of ["dragover", "drop"]) {
      document.addEventListener(type, (event) => {
        const { dataTransfer } = /** @type {DragEvent} */ (event);
        if (!dataTransfer?.types.includes("Files")) return; // text goes into a field by itself
        event.preventDefault();
        if (type === "drop") this.#takePicture(event, dataTransfer);
      });
    }
    if (!GROWS_BY_ITSELF) addEventListener("resize", () => this.#grow()); // or a phone was turned
  }

  /** Whether nothing is being typed. */
  get isEmpty() {
    return this.#text.value.trim() === "";
  }

  focus() {
    this.#text.focus();
  }

  /**
   * @param {Event} event
   * @param {DataTransfer | null} data
   */
  #takePicture(event, data) {
    const picture = [...(data?.files ?? [])].find((file) => file.type.startsWith("image/"));
    if (!picture) return; // text goes into the field by itself
    event.preventDefault();
    this.#emitPicture(picture);
  }

  #takeChosen() {
    const [picture] = this.#picture.files ?? [];
    if (picture) this.#emitPicture(picture);
    this.#picture.value = ""; // the same one can be chosen again
    this.focus();
  }

  /** @param {File} picture */
  #emitPicture(picture) {
    this.dispatchEvent(new CustomEvent("picture", { detail: picture }));
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text) return;
    if (!this.dispatchEvent(new CustomEvent("text", { detail: text, cancelable: true }))) return;
    this.#text.value = "";
    this.#show();
  }

  #show() {
    this.#send.disabled = this.isEmpty;
    if (!GROWS_BY_ITSELF) this.#grow();
  }

  #grow() {
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
  }
}
