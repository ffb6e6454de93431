/**
 * What was said, drawn: one row for each utterance, and for each note.
 *
 * @module rows
 */

import { copyButton } from "./copy_button.js";
import { describe, span } from "./elements.js";
import { WORDS, clockTime, duration } from "./strings.js";
import { heardParts } from "./wording.js";

/** @typedef {import("./entries.js").Entry} Entry */

/** A sentence of the page's own. */
export class NoteRow {
  element = document.createElement("li");
  #entry;

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
  }

  draw() {
    describe(this.element, this.#entry);
    this.element.textContent = this.#entry.text;
    this.element.dir = "auto";
  }
}

/** What a person or an agent says. */
export class UtteranceRow {
  element = document.createElement("li");
  #entry;
  /** @type {SpokenWords | WrittenWords} */
  #words;
  /** @type {Details | null} */
  #details = null;

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
    this.#words = wordsOf(entry);
    const speaker = span("speaker sr-only", `${isUser(entry) ? WORDS.user : WORDS.agent}: `);
    this.element.append(speaker, this.#words.element);
  }

  draw() {
    const entry = this.#entry;
    describe(this.element, entry);
    if (isWritten(entry) !== this.#words instanceof WrittenWords) {
      const words = wordsOf(entry);
      this.#words.element.replaceWith(words.element);
      this.#words = words;
    }
    this.#words.draw(entry);
    if (isUser(entry)) return;
    if (!this.#details) {
      this.#details = new Details(entry);
      this.element.append(this.#details.element);
    }
    this.#details.draw();
  }
}

/** @param {Entry} entry */
const isUser = (entry) => entry.role === "user";

/** @param {Entry} entry */
const isWritten = (entry) => Boolean(entry.streamed);

/** @param {Entry} entry */
const wordsOf = (entry) => (isWritten(entry) ? new WrittenWords() : new SpokenWords());

/** Words of a transcript: what stands, what may still change, what was not heard. */
class SpokenWords {
  element = document.createElement("p");
  #settled = document.createTextNode("");
  #provisional = span("provisional", "");
  #unheard = unheardWords();

  constructor() {
    this.element.className = "words";
    this.element.dir = "auto";
  }

  /** @param {Entry} entry */
  draw(entry) {
    const [heard, unheard] = heardParts(entry);
    const settled = entry.final ? heard.length : (entry.settled ?? heard.length);
    write(this.#settled, heard.slice(0, settled));
    this.#provisional.textContent = heard.slice(settled);
    this.#unheard.textContent = unheard;
    for (const node of [this.#settled, this.#provisional, this.#unheard]) {
      if (node.textContent === "") node.remove();
      else if (node.parentNode !== this.element) this.element.append(node);
    }
    // The settled words come first, also where they come last.
    if (this.#settled.parentNode && this.element.firstChild !== this.#settled) {
      this.element.prepend(this.#settled);
    }
  }
}

/**
 * Words of a text answer, which are markdown.  What reads it is fetched with the first of them,
 * since a spoken conversation has none; until it is there they stand as they were written.
 */
class WrittenWords {
  element = document.createElement("div");
  #heard = document.createElement("div");
  #unheard = unheardWords();
  #text = "";
  /** @type {import("./markdown.js").Markdown | null} */
  #markdown = null;

  constructor() {
    this.element.className = "words markdown";
    this.#heard.className = "unread";
    this.element.append(this.#heard);
    this.#fetch();
  }

  async #fetch() {
    try {
      const { Markdown } = await import("./markdown.js");
      this.#markdown = new Markdown(this.#heard);
    } catch {
      return; // the server is away: the words can be read, and the next ones try again
    }
    this.#heard.className = "";
    this.#heard.textContent = "";
    this.#markdown.show(this.#text);
  }

  /** @param {Entry} entry */
  draw(entry) {
    const [heard, unheard] = heardParts(entry);
    this.#text = heard;
    if (this.#markdown) this.#markdown.show(heard);
    else this.#heard.textContent = heard;
    this.#unheard.textContent = unheard;
    if (unheard) this.element.append(this.#unheard);
    else this.#unheard.remove();
  }
}

/** Under an answer: when, how fast, whether it was cut short, and the button that copies it. */
class Details {
  element = document.createElement("div");
  #entry;
  #time = document.createElement("time");
  #remark = span("remark", "");
  #copy;

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
    this.#copy = copyButton(WORDS.copyAnswer, () => entry.text);
    const began = new Date(entry.at);
    this.element.className = "details";
    this.#time.dateTime = began.toISOString();
    this.#time.textContent = clockTime(entry.at);
    this.#time.title = began.toLocaleString();
    this.element.append(this.#time, this.#remark);
    if (this.#copy) this.element.append(this.#copy);
  }

  draw() {
    const { agent, isNamed, interrupted, responseMs, final, text } = this.#entry;
    const remarks = [];
    if (isNamed && agent) remarks.push(agent);
    if (interrupted) remarks.push(WORDS.interrupted);
    if (responseMs !== undefined) remarks.push(duration(responseMs));
    this.#remark.textContent = remarks.join(" · ");
    this.#remark.hidden = remarks.length === 0;
    if (this.#copy) this.#copy.hidden = !final || text === "";
  }
}

/** Struck out for the eye; the style sheet says the label to a screen reader. */
function unheardWords() {
  const words = document.createElement("s");
  words.className = "unheard";
  words.dataset.label = `(${WORDS.notHeard}) `;
  return words;
}

/**
 * Changes a text by its end where it can, so that a selection in it stays.
 *
 * @param {Text} node
 * @param {string} text
 */
function write(node, text) {
  if (text === node.data) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}
