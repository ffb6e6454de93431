/**
 * A small button that puts a text on the clipboard and says so.
 *
 * @module copy_button
 */

import { WORDS } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";
const SHEETS = "M9 9h10v11H9zM5 15V4h10";
const TICK = "M5 13l4.5 4.5L19 7";
const SAID_FOR_MS = 2_000;

/**
 * How every button says that it has copied: for a while, in place of what else it says.
 *
 * @param {(isCopied: boolean) => void} show
 * @returns {() => void}  to be called when it has
 */
export function sayingCopied(show) {
  let timer = 0;
  return () => {
    show(true);
    clearTimeout(timer);
    timer = setTimeout(() => show(false), SAID_FOR_MS);
  };
}

/**
 * @param {string} label  what the button does, for a tooltip and a screen reader
 * @param {() => string} read  the text, at the time of the click
 * @returns {HTMLButtonElement | null}  null where the browser has no clipboard (a page without TLS)
 */
export function copyButton(label, read) {
  if (!navigator.clipboard) return null;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  const path = document.createElementNS(SVG, "path");
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  icon.append(path);
  button.append(icon);

  /** @param {boolean} isDone */
  const show = (isDone) => {
    path.setAttribute("d", isDone ? TICK : SHEETS);
    button.classList.toggle("done", isDone);
    button.ariaLabel = button.title = isDone ? WORDS.copied : label;
  };
  const sayCopied = sayingCopied(show);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(read());
    } catch {
      return; // The browser forbids it: no tick, and the text can still be selected.
    }
    sayCopied();
  });
  show(false);
  return button;
}
