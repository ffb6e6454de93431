/**
 * The message field.
 *
 * @module composer
 */

import { byId } from "./elements.js";

/** Events: `text`, with what was typed in `detail`; `picture`, with a file pasted or dropped. */
export class Composer extends EventTarget {
  #form = byId("composer", HTMLFormElement);
  #text = byId("text", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);

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
    this.#text.addEventListener("paste", (event) => this.#takePicture(event, event.clipboardData));
    this.#form.addEventListener("dragover", (event) => event.preventDefault());
    this.#form.addEventListener("drop", (event) => this.#takePicture(event, event.dataTransfer));
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
    this.dispatchEvent(new CustomEvent("picture", { detail: picture }));
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = "";
    this.#show();
    this.dispatchEvent(new CustomEvent("text", { detail: text }));
  }

  #show() {
    this.#send.disabled = this.isEmpty;
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
  }
}
