/**
 * Puts the words of strings.js into the page.
 *
 * @module translate
 */

import { LANGUAGE, PAGE } from "./strings.js";

/** Which attribute of an element says which words, and where they go. */
const PLACES = /** @type {const} */ ({
  text: null,
  label: "aria-label",
  title: "title",
  placeholder: "placeholder",
});

/**
 * Fills in `data-text`, `data-label`, `data-title` and `data-placeholder`, each of which names a
 * key of `PAGE`.
 *
 * @param {Document} page
 */
export function translate(page) {
  const words = /** @type {Readonly<Record<string, string>>} */ (PAGE);
  page.documentElement.lang = LANGUAGE.code;
  page.documentElement.dir = LANGUAGE.direction;
  for (const [place, attribute] of Object.entries(PLACES)) {
    for (const element of page.querySelectorAll(`[data-${place}]`)) {
      const key = element.getAttribute(`data-${place}`) ?? "";
      const sentence = words[key];
      if (sentence === undefined) throw new Error(`strings.js has no PAGE.${key}.`);
      if (attribute === null) element.textContent = sentence;
      else element.setAttribute(attribute, sentence);
    }
  }
}
