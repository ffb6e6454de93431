/**
 * Draws a transcript into a list: once a frame, and only what has changed.
 *
 * @module transcript_view
 */

import { CodeRow, PictureRow, SourcesRow, ThoughtRow, ToolRow } from "./doing_rows.js";
import { NoteRow, UtteranceRow } from "./rows.js";

/** @typedef {import("./transcript.js").Change} Change */
/** @typedef {import("./entries.js").Entry} Entry */
/** @typedef {import("./transcript.js").Transcript} Transcript */

/** A row may take this share of the time: text that is slow to read is read less often. */
const SHARE_OF_TIME = 0.2;

/**
 * @typedef {object} Row  the drawing of one entry
 * @property {HTMLLIElement} element
 * @property {() => void} draw
 * @property {() => void} [close]  it is shown no more
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
    for (const [entry, { element, close }] of this.#rows) {
      if (entries.has(entry)) continue;
      element.remove();
      close?.();
      this.#rows.delete(entry);
      this.#changed.delete(entry);
    }
    let next = this.#list.firstElementChild;
    for (const entry of entries) {
      let row = this.#rows.get(entry);
      if (!row) {
        row = this.#rowOf(entry);
        this.#rows.set(entry, row);
        this.#list.insertBefore(row.element, next);
      } else {
        next = row.element.nextElementSibling;
      }
    }
    for (const entry of this.#changed) if (!entries.has(entry)) this.#changed.delete(entry);
  }

  /**
   * @param {Entry} entry
   * @returns {Row}
   */
  #rowOf(entry) {
    switch (entry.role) {
      case "tool":
        return new ToolRow(entry);
      case "code":
        return new CodeRow(entry);
      case "sources":
        return new SourcesRow(entry);
      case "thought":
        return new ThoughtRow(entry);
      case "picture":
      case "image":
        return new PictureRow(entry, () => this.#transcript.pictureOf(entry));
      case "note":
        return new NoteRow(entry);
      default:
        return new UtteranceRow(entry);
    }
  }
}
