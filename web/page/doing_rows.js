/**
 * What an agent does beside talking, drawn: one row for each tool, code, source, thought, picture.
 *
 * @module doing_rows
 */

import { describe, element, span } from "./elements.js";
import { WORDS } from "./strings.js";
import { brief, outcome } from "./wording.js";

/** @typedef {import("./entries.js").Code} Code */
/** @typedef {import("./entries.js").Entry} Entry */
/** @typedef {import("./entries.js").Sources} Sources */
/** @typedef {import("./entries.js").Tool} Tool */

/** A tool that was used: one line, which unfolds to what went in and what came out. */
export class ToolRow {
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
    refill(fold, parts);
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

/** Code that the model wrote and had run, and what came of it. */
export class CodeRow {
  element = document.createElement("li");
  #entry;
  #fold = document.createElement("details");
  #brief = document.createElement("code");
  #outcome = span("result", "");

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
    const summary = document.createElement("summary");
    summary.append(WORDS.code, this.#brief, this.#outcome);
    this.#fold.append(summary);
    this.#fold.addEventListener("toggle", () => this.#unfold());
    this.element.append(this.#fold);
  }

  draw() {
    const { final, text } = this.#entry;
    const { output, outcome: ended } = /** @type {Code} */ (this.#entry.code);
    describe(this.element, this.#entry);
    this.#brief.textContent = brief(text.trim());
    const isOver = output ?? ended;
    this.#outcome.textContent = isOver ? brief(isOver.trim()) : final ? "" : WORDS.running;
    this.#outcome.hidden = this.#outcome.textContent === "";
    this.#unfold();
  }

  #unfold() {
    if (!this.#fold.open) return;
    const { language, output, outcome: ended, truncated } = /** @type {Code} */ (this.#entry.code);
    const parts = valueParts(language || WORDS.code, this.#entry.text);
    const label = [WORDS.codeResult, ended].filter(Boolean).join(" · ");
    if (output !== undefined) parts.push(...valueParts(label, output));
    else if (ended) parts.push(span("label", label));
    if (truncated) parts.push(span("truncated", WORDS.shortened));
    refill(this.#fold, parts);
  }
}

/** What an answer rests on, and files that lie elsewhere: links that open beside the page. */
export class SourcesRow {
  element = document.createElement("li");
  #entry;

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
  }

  draw() {
    const { queries, links } = /** @type {Sources} */ (this.#entry.sources);
    describe(this.element, this.#entry);
    const parts = [];
    if (queries.length > 0) {
      const asked = element("p", "queries", `${WORDS.searchedFor}: `);
      asked.append(...queries.flatMap((one, at) => [at > 0 ? ", " : "", element("q", "", one)]));
      parts.push(asked);
    }
    if (links.length > 0) {
      const list = element("ul", "links");
      list.ariaLabel = WORDS.sources;
      for (const one of links) {
        const item = document.createElement("li");
        item.append(linkOf(one));
        list.append(item);
      }
      parts.push(list);
    }
    this.element.replaceChildren(...parts);
  }
}

/** What the model thinks, folded: it is not what it says. */
export class ThoughtRow {
  element = document.createElement("li");
  #entry;
  #text = element("p", "thought-text");

  /** @param {Entry} entry */
  constructor(entry) {
    this.#entry = entry;
    const fold = document.createElement("details");
    fold.append(element("summary", "", WORDS.thought), this.#text);
    this.#text.dir = "auto";
    this.element.append(fold);
  }

  draw() {
    describe(this.element, this.#entry);
    this.#text.textContent = this.#entry.text.trim();
  }
}

/** A picture, of the person's or of the agent's, for as long as it is kept. */
export class PictureRow {
  element = document.createElement("li");
  #entry;
  #read;
  #caption = span("caption", "");
  /** @type {HTMLImageElement | null} */
  #image = null;

  /**
   * @param {Entry} entry
   * @param {() => Blob | null} read
   */
  constructor(entry, read) {
    this.#entry = entry;
    this.#read = read;
    this.element.append(this.#caption);
  }

  draw() {
    describe(this.element, this.#entry);
    this.#caption.textContent = this.#entry.text;
    const picture = this.#read();
    if (picture && !this.#image) this.#show(picture);
    else if (!picture) this.close();
  }

  close = () => {
    if (!this.#image) return;
    URL.revokeObjectURL(this.#image.src);
    this.#image.remove();
    this.#image = null;
  };

  /** @param {Blob} picture */
  #show(picture) {
    const image = document.createElement("img");
    image.alt = this.#entry.role === "image" ? WORDS.agentsPicture : WORDS.yourPicture;
    image.addEventListener("error", this.close);
    image.src = URL.createObjectURL(picture);
    this.element.prepend(image);
    this.#image = image;
  }
}

/**
 * @param {{uri: string, title: string}} source  `uri` is of the web, or empty
 * @returns {HTMLElement}
 */
function linkOf({ uri, title }) {
  if (uri === "") return element("bdi", "", title);
  const link = element("a", "", title || uri);
  link.dir = "auto";
  link.href = uri;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  link.title = `${uri} ${WORDS.newWindow}`;
  return link;
}

/**
 * @param {HTMLDetailsElement} fold  whose summary stays
 * @param {Node[]} parts
 */
function refill(fold, parts) {
  while (fold.lastChild && fold.lastChild !== fold.firstChild) fold.lastChild.remove();
  fold.append(...parts);
}
