/**
 * What happened in a call, line by line, in the panel.
 *
 * @module event_list
 */

import { element } from "./elements.js";
import { factsAsText } from "./event_log.js";
import { PANEL } from "./strings.js";

/** @typedef {import("./event_log.js").CallEvent} CallEvent */
/** @typedef {import("./event_log.js").EventLog} EventLog */
/** @typedef {import("./event_log.js").Origin} Origin */

/** Nearer to the end than this, the list follows what comes. */
const END_PX = 24;

export class EventList {
  element = element("ol", "panel-events");
  #log;
  /** @type {Map<CallEvent, HTMLElement>} */
  #rows = new Map();
  #followsEnd = true;

  /** @param {EventLog} log */
  constructor(log) {
    this.#log = log;
    // It scrolls, so the keyboard must reach it. What is in it are words of the wire.
    this.element.tabIndex = 0;
    this.element.ariaLabel = PANEL.events;
    this.element.lang = "en";
    this.element.dir = "ltr";
    this.element.translate = false;
    this.element.addEventListener("scroll", () => this.#noteScroll());
    new ResizeObserver(() => this.#scrollToEnd()).observe(this.element);
  }

  /** All of the log, from the start. */
  drawAll() {
    this.#rows = new Map();
    this.element.replaceChildren();
    for (const event of this.#log.events) this.draw(event);
    this.#followsEnd = true;
    this.#scrollToEnd();
  }

  /** @param {CallEvent} event */
  draw(event) {
    const list = this.element;
    const drawn = this.#rows.get(event);
    const row = eventRow(event);
    this.#rows.set(event, row);
    if (drawn) drawn.replaceWith(row);
    else list.append(row);
    while (list.childElementCount > this.#log.events.length) list.firstElementChild?.remove();
    for (const old of this.#rows.keys()) {
      if (this.#rows.size <= this.#log.events.length) break;
      this.#rows.delete(old);
    }
    this.#scrollToEnd();
  }

  /** The newest event is kept in sight, unless the person has scrolled up. */
  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    this.#followsEnd = scrollHeight - scrollTop - clientHeight < END_PX;
  }

  #scrollToEnd() {
    if (this.#followsEnd) this.element.scrollTop = this.element.scrollHeight;
  }
}

/** @param {CallEvent} event */
function eventRow(event) {
  const row = element("li", "event");
  row.dataset.from = event.from;
  row.append(element("span", "event-time", clock(event.atMs)), origin(event.from));
  const words = element("span", "event-words");
  words.append(element("span", "event-type", event.type), ` ${factsAsText(event)}`);
  row.append(words);
  return row;
}

/** @param {Origin} from */
function origin(from) {
  const mark = element("span", "event-origin");
  const arrow = element("span", "", { server: "↓", client: "↑", page: "·" }[from]);
  arrow.ariaHidden = "true";
  const words = { server: PANEL.received, client: PANEL.sent, page: "" }[from];
  mark.append(arrow, element("span", "sr-only", words));
  return mark;
}

/**
 * @param {number} ms
 * @returns {string} `1:02.345`
 */
function clock(ms) {
  const minutes = Math.floor(ms / 60_000);
  return `${minutes}:${((ms % 60_000) / 1000).toFixed(3).padStart(6, "0")}`;
}
