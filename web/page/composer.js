/**
 * The message field.
 *
 * @module composer
 */

import { byId } from "./elements.js";

/** Event: `text`, with what was typed in `detail`. */
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
  }

  /** Whether nothing is being typed. */
  get isEmpty() {
    return this.#text.value.trim() === "";
  }

  focus() {
    this.#text.focus();
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
