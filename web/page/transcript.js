/**
 * The conversation as plain data: what was said and typed, the tools that were used, and when.
 *
 * It has no DOM: messages go in by method calls, and `change` and `final` events come out.
 *
 * @module transcript
 */

import { Doings } from "./doings.js";
import { Entries, ended, isEntry } from "./entries.js";
import { WORDS, pictureSent } from "./strings.js";
import { lineOf } from "./wording.js";

/** @typedef {import("./entries.js").Change} Change  `detail` of `change` */
/** @typedef {import("./entries.js").Entry} Entry */
/** @typedef {import("./entries.js").Latency} Latency */
/** @typedef {import("./entries.js").Role} Role */
/** @typedef {import("../client/call.js").ServerMessage} ServerMessage */
/** @typedef {import("../client/messages.js").ServerMessages} Messages */

/** @typedef {{entry: Entry, words: string}} Final  `detail` of `final` */

/**
 * Emits `change` ({@link Change}) for every entry that came, changed or went, and `final`
 * ({@link Final}) with the words of every utterance that is over, once.
 */
export class Transcript extends EventTarget {
  #now;
  #entries = new Entries((change) =>
    this.dispatchEvent(new CustomEvent("change", { detail: change })),
  );
  #doings = new Doings({
    blank: (role) => this.#blank(role),
    append: (entry) => this.#entries.insert(entry),
    change: (entry, change) => this.#entries.change(entry, change),
    findLast: (matches) => this.#findLast(matches),
    keepPicture: (entry, picture) => this.#entries.keepPicture(entry, picture),
  });
  #call = 0;
  #sessionId = "";
  #agent = "";
  /** Whether several agents have spoken. */
  #isNamed = false;
  /**
   * The timing that came before the first words of its answer.
   *
   * @type {{call: number, turn: number, at: number, latency: Latency} | null}
   */
  #timing = null;

  /** @param {{now?: () => number}} [options]  `now`: ms since 1970 */
  constructor({ now = Date.now } = {}) {
    super();
    this.#now = now;
  }

  /** @returns {readonly Entry[]} in the order in which they are read; what {@link restore} takes */
  get entries() {
    return this.#entries.all;
  }

  /**
   * What {@link restore} takes, where there is no room for all {@link entries}.
   *
   * @param {number} count
   * @returns {readonly Entry[]} so many of the newest, after a note where there are others
   */
  newest(count) {
    return this.#entries.newest(count);
  }

  /**
   * @param {Entry} entry
   * @returns {Blob | null} its picture, where it has one and the page was not loaded anew since
   */
  pictureOf(entry) {
    return this.#entries.pictureOf(entry);
  }

  get isEmpty() {
    return this.entries.length === 0;
  }

  /** A new call counts its turns from 1 again, and ends what the one before left open. */
  beginCall() {
    this.#call += 1;
    for (const entry of [...this.entries]) {
      if (!entry.final) this.#entries.change(entry, ended(entry));
    }
  }

  /** @param {string} text  what the user typed */
  addTyped(text) {
    this.#entries.insert({ ...this.#blank("user"), text, final: true, typed: true });
  }

  /** @param {string} text  a sentence of the page's own */
  addNote(text) {
    this.#entries.insert({ ...this.#blank("note"), text, final: true });
  }

  /** @param {Blob} picture  that was sent; it is kept until the page is left */
  addPicture(picture) {
    const text = pictureSent(picture.type, picture.size);
    const entry = { ...this.#blank("picture"), text, final: true };
    this.#entries.keepPicture(entry, picture);
    this.#entries.insert(entry);
  }

  /**
   * Takes one message of the contract; those that show nothing are passed over.
   *
   * @param {ServerMessage} message
   */
  take(message) {
    switch (message.type) {
      case "ready":
        this.#onReady(message);
        break;
      case "agent":
        this.#onAgent(message.name);
        break;
      case "transcript":
        this.#onTranscript(message);
        break;
      case "text":
        this.#onText(message);
        break;
      case "turn":
        this.#onTurn(message);
        break;
      case "latency":
        this.#onLatency(message);
        break;
      default:
        this.#doings.take(message);
    }
  }

  clear() {
    this.#entries.clear();
    this.#isNamed = false;
    this.#timing = null;
    this.#sessionId = "";
  }

  /**
   * Takes what was stored on an earlier visit; what does not look like an entry, out of an older
   * page, is passed over.
   *
   * @param {unknown} stored  what {@link entries} was
   */
  restore(stored) {
    if (!Array.isArray(stored)) return;
    for (const one of stored.filter(isEntry)) {
      this.#entries.insert({ ...one, ...(one.final ? {} : ended(one)) });
      this.#call = Math.max(this.#call, one.call);
    }
  }

  // ------------------------------------------------------------------ exports

  /**
   * The conversation to read:
   *
   *     [14:03:05] You: Tell me a story.
   *     [14:03:06] Agent (480 ms): Once upon (not heard: a time.)
   *
   * @returns {string}
   */
  toText() {
    return this.entries.map(lineOf).join("");
  }

  /**
   * The conversation for programs.  The shape is stable: a later one only adds, or counts
   * `version` up.  `entries` are {@link Entry}, oldest first.
   *
   * @returns {{version: 1, exportedAt: string, sessionId: string | null, agent: string | null,
   *   entries: Entry[]}}
   */
  toJson() {
    return {
      version: 1,
      exportedAt: new Date(this.#now()).toISOString(),
      sessionId: this.#sessionId || null,
      agent: this.#agent || null,
      entries: structuredClone([...this.entries]),
    };
  }

  // ----------------------------------------------------------------- messages

  /** @param {{session_id: string, agent: string}} message */
  #onReady({ session_id: sessionId, agent }) {
    this.#sessionId = sessionId;
    this.#agent = agent;
  }

  /** @param {string} name  of the one that answers from now on */
  #onAgent(name) {
    if (name === this.#agent) return;
    const isTransfer = this.#agent !== "" && !this.isEmpty;
    this.#agent = name;
    if (!isTransfer) return;
    this.#isNamed = true;
    this.#doings.transfer(name);
  }

  /** @param {Messages["transcript"]} message */
  #onTranscript(message) {
    if (message.role === "user") this.#onUserTranscript(message);
    else this.#onAgentTranscript(message);
  }

  /** @param {Messages["transcript"]} message */
  #onUserTranscript({ text, final, turn }) {
    const spoken = this.#findLast((entry) => entry.role === "user" && entry.turn === turn);
    const isNewUtterance = spoken?.final && !text.startsWith(spoken.text);
    if (spoken && !isNewUtterance) {
      const settled = final ? undefined : settledCharacters(spoken.text, text);
      this.#changeUtterance(spoken, { text, final, settled });
      return;
    }
    const typed = this.#findLast((entry) => Boolean(entry.typed) && entry.turn === 0);
    if (typed && typed.text.trim() === text.trim()) {
      this.#entries.change(typed, { turn });
      return;
    }
    // A transcript can come after the answer to it; it is read before it, and was said before it.
    const answer = this.entries.find(
      (entry) => entry.call === this.#call && entry.role === "agent" && entry.turn >= turn,
    );
    const blank = this.#blank("user");
    const at = Math.min(blank.at, answer?.at ?? Infinity);
    const settled = final ? undefined : 0;
    const entry = this.#entries.insert({ ...blank, turn, at, text, final, settled }, answer);
    if (final) this.#emitFinal(entry);
  }

  /** @param {Messages["transcript"]} message */
  #onAgentTranscript({ text, final, turn }) {
    const entry = this.#answer(turn);
    if (entry.streamed) return;
    // The last word on an interrupted answer is what was heard; the rest has been seen all the same.
    const said = final && entry.text.startsWith(text) ? entry.text : undefined;
    if (final || !entry.final) this.#changeUtterance(entry, { text, final, said });
    else this.#entries.change(entry, { text }); // the tail of an answer that is over
  }

  /** @param {Messages["text"]} message */
  #onText({ data, turn }) {
    const entry = this.#answer(turn);
    const before = entry.streamed ? entry.text : "";
    this.#entries.change(entry, { text: before + data, streamed: true });
  }

  /** @param {Messages["turn"]} message */
  #onTurn({ turn, interrupted, heard_ms: heardMs, heard_text: heard }) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (!entry) return;
    const { final: wasFinal, said, text } = entry;
    const cut = interrupted ? { interrupted, heard, heardMs, text: said ?? text } : {};
    this.#entries.change(entry, { final: true, said: undefined, ...cut });
    if (!wasFinal) this.#emitFinal(entry);
  }

  /** @param {Messages["latency"]} message */
  #onLatency({ type: _type, turn, ...latency }) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (entry) this.#entries.change(entry, { latency, responseMs: latency.response_ms });
    else this.#timing = { call: this.#call, turn, at: this.#now(), latency };
  }

  // ------------------------------------------------------------------ entries

  /**
   * The agent's entry of a turn, made where there is none.
   *
   * @param {number} turn
   */
  #answer(turn) {
    const entry = this.#findLast((one) => one.role === "agent" && one.turn === turn);
    if (entry) return entry;
    const isNamed = this.#isNamed || undefined;
    const blank = { ...this.#blank("agent"), turn, agent: this.#agent || undefined, isNamed };
    const timing = this.#timing;
    if (timing?.call !== this.#call || timing.turn !== turn) return this.#entries.insert(blank);
    const { at, latency } = timing;
    return this.#entries.insert({ ...blank, at, latency, responseMs: latency.response_ms });
  }

  /**
   * @param {Role} role
   * @returns {Entry}
   */
  #blank(role) {
    return { role, call: this.#call, turn: 0, at: this.#now(), text: "", final: false };
  }

  /** @param {(entry: Entry) => boolean} matches  of the current call */
  #findLast(matches) {
    return this.entries.findLast((entry) => entry.call === this.#call && matches(entry));
  }

  /**
   * @param {Entry} entry
   * @param {Partial<Entry>} change  after which it may be over
   */
  #changeUtterance(entry, change) {
    const { final: wasFinal, text: before } = entry;
    this.#entries.change(entry, change);
    if (entry.final && !(wasFinal && entry.text === before)) this.#emitFinal(entry);
  }

  /** @param {Entry} entry */
  #emitFinal(entry) {
    const speaker = entry.role === "user" ? WORDS.user : WORDS.agent;
    const words = `${speaker}: ${entry.heard ?? entry.text}`;
    this.dispatchEvent(new CustomEvent("final", { detail: { entry, words } }));
  }
}

/**
 * How much of a provisional text stands: whole words that the text before had as well.
 *
 * @param {string} before
 * @param {string} text
 */
function settledCharacters(before, text) {
  let same = 0;
  while (same < before.length && before[same] === text[same]) same += 1;
  const isWhole = same === text.length || /\s/.test(text[same] ?? "");
  return isWhole ? same : text.lastIndexOf(" ", same) + 1;
}
