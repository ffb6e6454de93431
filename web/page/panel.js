/**
 * The panel that shows how a call goes: figures with a minute of their past, what the time until
 * each answer was made of, and what happened when.
 *
 * Folded it costs nothing: no timer runs and the connection is not asked, but once for every
 * answer, whose network part would else be missing when the panel is opened.
 *
 * @module panel
 */

import { sayingCopied } from "./copy_button.js";
import { element } from "./elements.js";
import { EventList } from "./event_list.js";
import { EventLog } from "./event_log.js";
import { Figures } from "./figures.js";
import { LatencyBars, partsOf } from "./latency_bars.js";
import { reportOf } from "./report.js";
import { visits } from "./storage.js";
import { PANEL, WORDS } from "./strings.js";
import { Tokens } from "./tokens.js";

/** @typedef {import("../client/statistics.js").CallStats} CallStats */
/** @typedef {import("./event_log.js").Origin} Origin */
/** @typedef {import("./latency_bars.js").Answer} Answer */
/** @typedef {import("./latency_bars.js").Latency} Latency */
/** @typedef {import("./figures.js").Sample} Sample */

/**
 * What the panel needs of a call: `Call` of the client library is one.
 *
 * @typedef {object} ObservedCallFields
 * @property {() => Promise<CallStats | null>} stats
 * @property {string} line
 * @property {string | null} sessionId
 * @property {string | null} callId
 * @property {boolean} hasAudio
 * @property {boolean} isMuted
 * @property {MediaStream | null} microphone
 */
/** @typedef {EventTarget & ObservedCallFields} ObservedCall */

const PERIOD_MS = 1_000;
const SAMPLES_MAX = 60;
const STORAGE_KEY = "rtc.panel";

export class Panel {
  #element;
  #call;
  #toggle;
  #fingerprint;
  #outputLatencyMs;

  /** @type {Sample[]} */
  #samples = [];
  #log = new EventLog();
  #bars = new LatencyBars();
  /** The answer whose network part is not measured yet. @type {Answer | null} */
  #pending = null;
  /** The last that is known of each, to go on with until it is measured again. */
  #known = {
    roundTripMs: /** @type {number | null} */ (null),
    jitterBufferMs: /** @type {number | null} */ (null),
  };
  #line = "down";
  #problem = /** @type {string | null} */ (null);
  #startMs = performance.now();
  #isSampling = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #poll;

  #figures = new Figures();
  #tokens = new Tokens();
  #eventList = new EventList(this.#log);
  #copy = button("panel-copy", PANEL.copy);
  #said = element("span", "sr-only");
  #sayCopied = sayingCopied((isCopied) => {
    this.#copy.textContent = isCopied ? WORDS.copied : PANEL.copy;
    this.#said.textContent = isCopied ? WORDS.copied : "";
  });
  #uncopied = element("div", "panel-uncopied");
  #uncopiedText = document.createElement("textarea");

  /**
   * Draws itself into `element`, and opens if it was open before a reload.
   *
   * @param {HTMLElement} element  is hidden while the panel is folded
   * @param {ObservedCall} call
   * @param {object} [options]
   * @param {HTMLButtonElement | null} [options.toggle]  opens and folds it; its `aria-expanded`
   *   says which
   * @param {() => string | null} [options.fingerprint]  of the page's files, for the report
   * @param {() => number | null} [options.outputLatencyMs]  of the loudspeaker, for the report
   */
  constructor(
    element,
    call,
    { toggle = null, fingerprint = () => null, outputLatencyMs = () => null } = {},
  ) {
    this.#element = element;
    this.#call = call;
    this.#toggle = toggle;
    this.#fingerprint = fingerprint;
    this.#outputLatencyMs = outputLatencyMs;
    this.#build();
    this.#listen();
    this.#showFolded(true);
    if (visits.read(STORAGE_KEY) === "open") this.open();
  }

  get isOpen() {
    return this.#poll !== undefined;
  }

  /** Shows the panel and begins to ask the connection once a second. */
  open() {
    if (this.isOpen) return;
    this.#poll = setInterval(() => this.#sample(), PERIOD_MS);
    this.#showFolded(false);
    visits.write(STORAGE_KEY, "open");
    this.#drawAll();
    this.#sample();
  }

  /** Folds the panel; nothing runs any more. */
  close() {
    if (!this.isOpen) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
    if (this.#element.contains(document.activeElement)) this.#toggle?.focus();
    this.#showFolded(true);
    visits.write(STORAGE_KEY, "folded");
  }

  // --------------------------------------------------------------------- call

  #listen() {
    /** @type {(type: string, handle: (detail: any) => void) => void} */
    const when = (type, handle) =>
      this.#call.addEventListener(type, (event) =>
        handle(/** @type {CustomEvent} */ (event).detail),
      );
    when("message", (message) => this.#onMessage(message));
    when("sent", (message) => this.#write("client", message.type, message));
    when("status", (status) => this.#onStatus(status));
    when("microphone", (detail) => this.#write("page", "microphone", detail));
    when("video", (detail) => this.#write("page", "video", detail));
    when("speaker", (detail) => this.#write("page", "speaker", detail));
    this.#toggle?.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
  }

  /** @param {{type: string}} message */
  #onMessage(message) {
    this.#write("server", message.type, message);
    if (message.type === "ready") this.#tokens.onConnection();
    if (message.type === "usage") this.#tokens.take(message);
    if (message.type === "latency")
      this.#onLatency(/** @type {Latency & {type: string}} */ (message));
    // An answer that is over before its sound was measured is measured as well as can be.
    if (message.type === "turn" && this.#pending && !this.isOpen) this.#sample();
  }

  /** @param {{line: string, problem: {code: string} | null}} status */
  #onStatus(status) {
    if (this.#line === "down") this.#startMs = performance.now();
    this.#line = status.line;
    this.#problem = status.problem?.code ?? null;
    this.#write("page", "status", status);
  }

  /** @param {Latency} latency */
  #onLatency(latency) {
    const answer = { latency, networkMs: this.#knownNetworkMs() };
    if (partsOf(answer).length === 0) return;
    this.#bars.add(answer);
    this.#pending = answer;
    this.#drawBars();
    // While the panel is open the next sample comes by itself, and has more of the answer in it.
    if (!this.isOpen) this.#sample();
  }

  async #sample() {
    if (this.#isSampling) return;
    this.#isSampling = true;
    const pending = this.#pending;
    try {
      const stats = await this.#call.stats().catch(() => null);
      this.#samples.push({ atMs: performance.now(), stats });
      if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
      if (stats) this.#learn(stats, pending);
    } finally {
      this.#isSampling = false;
    }
    this.#drawFigures();
  }

  /**
   * @param {CallStats} stats
   * @param {Answer | null} pending  when the connection was asked
   */
  #learn({ roundTripMs, downlink }, pending) {
    const jitterBufferMs = downlink?.jitterBufferMs ?? null;
    this.#known.roundTripMs = roundTripMs ?? this.#known.roundTripMs;
    this.#known.jitterBufferMs = downlink && (jitterBufferMs ?? this.#known.jitterBufferMs);
    if (!pending || pending !== this.#pending) return;
    pending.networkMs = this.#knownNetworkMs();
    if (jitterBufferMs !== null || !downlink) this.#pending = null;
    this.#drawBars();
  }

  #knownNetworkMs() {
    const { roundTripMs, jitterBufferMs } = this.#known;
    return roundTripMs === null ? jitterBufferMs : roundTripMs + (jitterBufferMs ?? 0);
  }

  /**
   * @param {Origin} from
   * @param {string} type
   * @param {unknown} detail
   */
  #write(from, type, detail) {
    const event = this.#log.take(from, type, detail, performance.now() - this.#startMs);
    if (this.isOpen) this.#eventList.draw(event);
  }

  // ------------------------------------------------------------------- report

  #onCopy() {
    const text = reportOf({
      fingerprint: this.#fingerprint(),
      callId: this.#call.callId,
      sessionId: this.#call.sessionId,
      line: this.#call.line,
      problem: this.#problem,
      hasAudio: this.#call.hasAudio,
      isMuted: this.#call.isMuted,
      microphone: this.#call.microphone,
      outputLatencyMs: this.#outputLatencyMs(),
      samples: this.#samples.flatMap(({ stats }) => (stats ? [stats] : [])),
      answers: this.#bars.answers.map((answer) => ({
        turn: answer.latency.turn,
        parts: partsOf(answer),
      })),
      events: this.#log.events,
    });
    // Without waiting for anything before: a browser lets a page copy only on a click.
    const copying = navigator.clipboard?.writeText(text) ?? Promise.reject();
    copying.then(
      () => {
        this.#uncopied.hidden = true;
        this.#sayCopied();
      },
      () => this.#showUncopied(text),
    );
  }

  /** @param {string} text */
  #showUncopied(text) {
    this.#uncopied.hidden = false;
    this.#uncopiedText.value = text;
    this.#uncopiedText.focus();
    this.#uncopiedText.select();
  }

  // ----------------------------------------------------------------- building

  #build() {
    this.#element.classList.add("panel");
    this.#element.ariaLabel = PANEL.title;
    const title = element("h2", "panel-title", PANEL.title);
    const close = button("icon quiet panel-close", "");
    close.ariaLabel = PANEL.close;
    close.append(cross());
    close.addEventListener("click", () => this.close());
    this.#copy.addEventListener("click", () => this.#onCopy());
    this.#said.setAttribute("role", "status");

    const uncopiedLabel = element("label", "", PANEL.copyYourself);
    this.#uncopiedText.readOnly = true;
    this.#uncopiedText.rows = 6;
    uncopiedLabel.append(this.#uncopiedText);
    this.#uncopied.hidden = true;
    this.#uncopied.append(uncopiedLabel);

    const head = element("header", "panel-head");
    head.append(title, this.#said, this.#copy, close);
    const body = element("div", "panel-body");
    body.append(
      section("panel-connection", PANEL.connection, ...this.#figures.build()),
      section("panel-answers", PANEL.answers, this.#bars.element, this.#tokens.element),
      section("panel-log", PANEL.events, this.#eventList.element),
    );
    this.#element.replaceChildren(head, this.#uncopied, body);
  }

  // ------------------------------------------------------------------ drawing

  /** @param {boolean} folded */
  #showFolded(folded) {
    this.#element.hidden = folded;
    this.#toggle?.setAttribute("aria-expanded", String(!folded));
  }

  #drawAll() {
    this.#drawFigures();
    this.#drawBars();
    this.#eventList.drawAll();
  }

  #drawFigures() {
    if (!this.isOpen) return;
    const isAudio = this.#call.hasAudio || this.#samples.at(-1)?.stats?.downlink != null;
    this.#figures.draw(this.#samples, isAudio);
  }

  #drawBars() {
    if (this.isOpen) this.#bars.draw();
  }
}

/**
 * @param {string} className
 * @param {string} text
 */
function button(className, text) {
  const made = element("button", className, text);
  made.type = "button";
  return made;
}

/**
 * @param {string} className
 * @param {string} title
 * @param {Node[]} content
 */
function section(className, title, ...content) {
  const made = element("section", `panel-section ${className}`);
  made.append(element("h3", "", title), ...content);
  return made;
}

function cross() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M6 6l12 12M18 6L6 18");
  svg.append(path);
  return svg;
}
