/**
 * Elements: those of index.html by their ids, and those that are made.
 *
 * @module elements
 */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no #${id}.`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

/**
 * @param {string} className
 * @param {string} text
 */
export function span(className, text) {
  return element("span", className, text);
}

/**
 * Says by classes and data what a row of the conversation is.
 *
 * @param {HTMLLIElement} row
 * @param {import("./entries.js").Entry} entry
 */
export function describe(row, { role, turn, final, interrupted }) {
  row.classList.add("row", role);
  row.classList.toggle("provisional", !final);
  row.classList.toggle("interrupted", Boolean(interrupted));
  row.dataset.role = role;
  row.dataset.turn = String(turn);
  row.dataset.final = String(final);
}
