/**
 * What an agent does beside talking, as entries of the conversation: tools, code, sources, pictures,
 * thoughts, files.
 *
 * @module doings
 */

import { fileAt, goesOn, pictureShown, savedAs } from "./strings.js";

/** @typedef {import("./entries.js").Entry} Entry */
/** @typedef {import("./entries.js").Role} Role */
/** @typedef {import("./entries.js").Tool} Tool */
/** @typedef {import("../client/call.js").ServerMessage} ServerMessage */
/** @typedef {import("../client/messages.js").ServerMessages} Messages */

/** Of a tool's arguments, and of its result, as JSON. */
const VALUE_CHARACTERS = 16 * 1024;
/** What is nested deeper is kept as JSON: the stack that walks through it is the browser's. */
const VALUE_LEVELS = 24;
const LINKS_MAX = 40;
const LINK_CHARACTERS = 2_048;
/** What a browser draws and nothing runs in. */
const PICTURE_TYPES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

/**
 * What a conversation lets its doings do.
 *
 * @typedef {object} Store
 * @property {(role: Role) => Entry} blank
 * @property {(entry: Entry) => Entry} append
 * @property {(entry: Entry, change: Partial<Entry>) => void} change
 * @property {(matches: (entry: Entry) => boolean) => Entry | undefined} findLast  of this call
 * @property {(entry: Entry, picture: Blob) => void} keepPicture
 */

export class Doings {
  #store;

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * Takes one message; those that are of something else are passed over.
   *
   * @param {ServerMessage} message
   */
  take(message) {
    switch (message.type) {
      case "tool":
        this.#onTool(message);
        break;
      case "code":
        this.#onCode(message);
        break;
      case "grounding":
        this.#onGrounding(message);
        break;
      case "thought":
        this.#onThought(message);
        break;
      case "image":
        this.#onImage(message);
        break;
      case "file":
        this.#onFile(message);
        break;
      case "artifact":
        this.#note(savedAs(message.name, message.version));
        break;
    }
  }

  /** @param {string} name  of another agent that took over */
  transfer(name) {
    this.#note(goesOn(name));
  }

  /** @param {Messages["tool"]} message */
  #onTool({ phase, id, name, args, result, long_running: longRunning, failed, truncated }) {
    let entry = this.#store.findLast((one) => one.tool?.id === id);
    entry ??= this.#store.append({
      ...this.#store.blank("tool"),
      text: name,
      tool: { id, name, state: "running" },
    });
    const tool = { .../** @type {Tool} */ (entry.tool) };
    if (phase === "result") tool.state = failed ? "failed" : "done";
    if (phase === "cancelled") tool.state = "cancelled";
    if (longRunning) tool.longRunning = true;
    if (args !== undefined) Object.assign(tool, bounded("args", args));
    if (result !== undefined) Object.assign(tool, bounded("result", result));
    if (truncated) tool.truncated = true;
    this.#store.change(entry, { final: tool.state !== "running", tool });
  }

  /** @param {Messages["code"]} message */
  #onCode({ turn, phase, language = "", code = "", outcome, output, truncated }) {
    const isOpen = (/** @type {Entry} */ one) => one.role === "code" && !one.final;
    let entry = phase === "result" ? this.#store.findLast(isOpen) : undefined;
    entry ??= this.#store.append({
      ...this.#store.blank("code"),
      turn,
      text: code,
      code: { language: language.toLowerCase() },
    });
    if (phase === "call" && !truncated) return;
    const known = { language: "", ...entry.code };
    const news = { ...(outcome && { outcome }), ...(output && { output }) };
    const cut = truncated ? { truncated } : {};
    this.#store.change(entry, { final: phase === "result", code: { ...known, ...news, ...cut } });
  }

  /** @param {Messages["grounding"]} message  may say what an earlier one said, and more */
  #onGrounding({ turn, queries = [], sources = [] }) {
    let entry = this.#store.findLast((one) => one.role === "sources" && one.turn === turn);
    const links = entry?.sources?.links.slice() ?? [];
    for (const { uri = "", title = "" } of sources) {
      const link = { uri: webAddress(uri), title: title.slice(0, LINK_CHARACTERS) };
      const isKnown = links.some((one) => one.uri === link.uri && one.title === link.title);
      if ((link.uri || link.title) && !isKnown && links.length < LINKS_MAX) links.push(link);
    }
    const asked = new Set([...(entry?.sources?.queries ?? []), ...queries.map(String)]);
    const known = {
      queries: [...asked].slice(0, LINKS_MAX).map((one) => one.slice(0, LINK_CHARACTERS)),
      links,
    };
    if (known.links.length === 0 && known.queries.length === 0) return;
    if (entry) this.#store.change(entry, { sources: known });
    else {
      entry = { ...this.#store.blank("sources"), turn, final: true, sources: known };
      this.#store.append(entry);
    }
  }

  /** @param {Messages["thought"]} message */
  #onThought({ turn, text = "" }) {
    const entry = this.#store.findLast((one) => one.role === "thought" && one.turn === turn);
    if (entry) this.#store.change(entry, { text: entry.text + text });
    else this.#store.append({ ...this.#store.blank("thought"), turn, text, final: true });
  }

  /** @param {Messages["image"]} message */
  #onImage({ turn, mime_type: type = "", data = "" }) {
    const bytes = PICTURE_TYPES.has(type) ? bytesOf(data) : null;
    const size = bytes?.length ?? Math.floor(data.length * 0.75);
    const text = pictureShown(type.slice(0, 64), size);
    const entry = { ...this.#store.blank("image"), turn, text, final: true };
    if (bytes) this.#store.keepPicture(entry, new Blob([bytes], { type }));
    this.#store.append(entry);
  }

  /** @param {Messages["file"]} message  is shown as a source of its answer is */
  #onFile({ turn, uri = "", mime_type: type = "", name = "" }) {
    const link = {
      uri: webAddress(uri),
      title: fileAt(name || uri, type).slice(0, LINK_CHARACTERS),
    };
    const sources = { queries: [], links: [link] };
    this.#store.append({ ...this.#store.blank("sources"), turn, final: true, sources });
  }

  /** @param {string} text */
  #note(text) {
    this.#store.append({ ...this.#store.blank("note"), text, final: true });
  }
}

/**
 * @param {string} uri  as an agent gave it
 * @returns {string} empty for what is no address on the web: it is not to be clicked on
 */
function webAddress(uri) {
  if (uri.length > LINK_CHARACTERS || !URL.canParse(uri)) return "";
  const { protocol, href, username, password } = new URL(uri);
  const isPlain = username === "" && password === "";
  return isPlain && ["https:", "http:"].includes(protocol) ? href : "";
}

/**
 * @param {string} base64
 * @returns {Uint8Array<ArrayBuffer> | null} null for what is none
 */
function bytesOf(base64) {
  try {
    return Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  } catch {
    return null;
  }
}

/**
 * A value of a tool under its key, no longer than is kept.
 *
 * @param {string} key
 * @param {unknown} value
 */
function bounded(key, value) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch {
    return { [key]: "…", truncated: true }; // nested deeper than the stack
  }
  if (json.length <= VALUE_CHARACTERS) {
    return { [key]: isNested(value, VALUE_LEVELS) ? json : value };
  }
  return { [key]: `${json.slice(0, VALUE_CHARACTERS - 1)}…`, truncated: true };
}

/**
 * @param {unknown} value
 * @param {number} levels
 * @returns {boolean}  whether it is nested deeper than that
 */
function isNested(value, levels) {
  if (value === null || typeof value !== "object") return false;
  return levels === 0 || Object.values(value).some((one) => isNested(one, levels - 1));
}
