/**
 * Draws a transcript into a list: once a frame, and only what has changed.
 *
 * @module transcript_view
 */

import { copyButton } from "./copy_button.js";
import { Markdown } from "./markdown.js";
import { WORDS, clockTime, duration } from "./strings.js";
import { brief, heardParts, outcome } from "./transcript.js";

/** @typedef {import("./transcript.js").Change} Change */
/** @typedef {import("./transcript.js").Entry} Entry */
/** @typedef {import("./transcript.js").Tool} Tool */
/** @typedef {import("./transcript.js").Transcript} Transcript */

/** A row may take this share of the time: text that is slow to read is read less often. */
const SHARE_OF_TIME = 0.2;

/**
 * @typedef {object} Row  the drawing of one entry
 * @property {HTMLLIElement} element
 * @property {() => void} draw
 */

export class TranscriptView {
  #transcript;
  #list;
  /** @type {Map<Entry, Row>} */
  #rows = new Map();
  /** @type {Set<Entry>} */
  #changed = new Set();
  /** @type {WeakMap<Entry, number>} when a row that was slow may be drawn again */
  #notBefore = new WeakMap();
  #frame = 0;
  /** Whether rows came or went. */
  #isMoved = true;
  #closing = new AbortController();

  /**
   * @param {Transcript} transcript
   * @param {HTMLOListElement} list  empty
   */
  constructor(transcript, list) {
    this.#transcript = transcript;
    this.#list = list;
    for (const entry of transcript.entries) this.#changed.add(entry);
    this.#draw(performance.now());
    transcript.addEventListener(
      "change",
      (event) => {
        const { entry, kind } = /** @type {CustomEvent<Change>} */ (event).detail;
        this.#isMoved ||= kind !== "changed";
        this.#changed.add(entry);
        this.#schedule();
      },
      { signal: this.#closing.signal },
    );
  }

  /** Draws no more; what is drawn stays. */
  close() {
    this.#closing.abort();
    cancelAnimationFrame(this.#frame);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      this.#draw(now);
    });
  }

  /** @param {number} now  of the frame */
  #draw(now) {
    if (this.#isMoved) this.#place();
    this.#isMoved = false;
    for (const entry of this.#changed) {
      if (!entry.final && now < (this.#notBefore.get(entry) ?? 0)) continue;
      this.#changed.delete(entry);
      const began = performance.now();
      this.#rows.get(entry)?.draw();
      const tookMs = performance.now() - began;
      this.#notBefore.set(entry, now + tookMs / SHARE_OF_TIME);
    }
    if (this.#changed.size > 0) this.#schedule();
  }

  /** The rows of the entries that there are, in their order; those that stay are not moved. */
  #place() {
    const entries = new Set(this.#transcript.entries);
    for (const [entry, { element }] of this.#rows) {
      if (entries.has(entry)) continue;
      element.remove();
      this.#rows.delete(entry);
      this.#changed.delete(entry);
    }
    let next = this.#list.firstElementChild;
    for (const entry of entries) {
      let row = this.#rows.get(entry);
      if (!row) {
        row = rowOf(entry);
        this.#rows.set(entry, row);
        this.#list.insertBefore(row.element, next);
      } else {
        next = row.element.nextElementSibling;
      }
    }
    for (const entry of this.#changed) if (!entries.has(entry)) this.#changed.delete(entry);
  }
}

/**
 * @param {Entry} entry
 * @returns {Row}
 */
function rowOf(entry) {
  if (entry.role === "tool") return new ToolRow(entry);
  if (entry.role === "user" || entry.role === "agent") return new UtteranceRow(entry);
  return new NoteRow(entry);
}

/**
 * @param {HTMLLIElement} element
 * @param {Entry} entry
 */
function describe(element, { role, turn, final, interrupted }) {
  element.classList.add("row", role);
  element.classList.toggle("provisional", !final);
  element.classList.toggle("interrupted", Boolean(interrupted));
  element.dataset.role = role;
  element.dataset.turn = String(turn);
  element.dataset.final = String(final);
}

/** A sentence of the page's own, or that a picture was sent. */
class NoteRow {
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
class UtteranceRow {
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

/** Words of a text answer, which are markdown. */
class WrittenWords {
  element = document.createElement("div");
  #heard = document.createElement("div");
  #unheard = unheardWords();
  #markdown = new Markdown(this.#heard);

  constructor() {
    this.element.className = "words markdown";
    this.element.append(this.#heard);
  }

  /** @param {Entry} entry */
  draw(entry) {
    const [heard, unheard] = heardParts(entry);
    this.#markdown.show(heard);
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
    const { interrupted, responseMs, final, text } = this.#entry;
    const remarks = [];
    if (interrupted) remarks.push(WORDS.interrupted);
    if (responseMs !== undefined) remarks.push(duration(responseMs));
    this.#remark.textContent = remarks.join(" · ");
    this.#remark.hidden = remarks.length === 0;
    if (this.#copy) this.#copy.hidden = !final || text === "";
  }
}

/** A tool that was used: one line, which unfolds to what went in and what came out. */
class ToolRow {
  element = document.createElement("li");
  #entry;
  #brief = document.createElement("code");
  #outcome = span("result", "");
  /** @type {HTMLDetailsElement | null} where there is something to unfold */
  #fold = null;

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
  }

  draw() {
    const tool = /** @type {Tool} */ (this.#entry.tool);
    describe(this.element, this.#entry);
    this.element.dataset.state = tool.state;
    this.#brief.textContent =
      tool.args === undefined ? tool.name : `${tool.name}(${brief(tool.args)})`;
    this.#outcome.textContent = outcome(tool);
    this.#outcome.hidden = this.#outcome.textContent === "";
    const hasMore = tool.args !== undefined || tool.result !== undefined;
    if (hasMore && !this.#fold) {
      this.#fold = this.#makeFold();
      this.element.replaceChildren(this.#fold);
    } else if (!hasMore && !this.#brief.parentNode) {
      this.element.append(this.#brief, this.#outcome);
    }
    if (this.#fold?.open) this.#unfold(this.#fold);
  }

  #makeFold() {
    const fold = document.createElement("details");
    const summary = document.createElement("summary");
    summary.append(this.#brief, this.#outcome);
    fold.append(summary);
    fold.addEventListener("toggle", () => {
      if (fold.open) this.#unfold(fold);
    });
    return fold;
  }

  /** @param {HTMLDetailsElement} fold  whose insides are made when they are looked at */
  #unfold(fold) {
    const { args, result, truncated } = /** @type {Tool} */ (this.#entry.tool);
    const parts = [];
    if (args !== undefined) parts.push(...valueParts(WORDS.args, args));
    if (result !== undefined) parts.push(...valueParts(WORDS.result, result));
    if (truncated) parts.push(span("truncated", WORDS.shortened));
    while (fold.lastChild && fold.lastChild !== fold.firstChild) fold.lastChild.remove();
    fold.append(...parts);
  }
}

/**
 * @param {string} label
 * @param {unknown} value
 */
function valueParts(label, value) {
  const pre = document.createElement("pre");
  pre.tabIndex = 0; // It scrolls, so that the keyboard must reach it.
  pre.dir = "ltr";
  pre.textContent = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return [span("label", label), pre];
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

/**
 * @param {string} className
 * @param {string} text
 */
function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
