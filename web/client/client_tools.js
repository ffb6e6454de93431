/**
 * Tools that run on the page and that the agent may call, as the page has declared them.
 *
 * @module client_tools
 */

/** A result goes into one message of 256 KiB, and from there to a model that pays by the word. */
const RESULT_BYTES_MAX = 64 * 1024;
const ERROR_CHARACTERS = 1_000;

/**
 * @typedef {object} ClientTool
 * @property {string} name
 * @property {string} description  what it does, for the model
 * @property {Record<string, unknown>} [parameters]  JSON schema of its arguments, an object's
 * @property {(args: Record<string, unknown>, how: {signal: AbortSignal}) => unknown} run  returns
 *   what the agent gets, or a promise of it: an object of JSON, or a value that is put into
 *   `{"result": …}`. What it throws is said to the agent. The signal is aborted when the agent no
 *   longer waits.
 */

/** @typedef {import("./messages.js").ClientToolCall} ClientToolCall */
/** @typedef {import("./messages.js").ClientMessage} ClientMessage */

export class ClientTools {
  /** @type {Map<string, ClientTool>} */
  #tools;
  /** What runs now, by the id of its call. @type {Map<string, AbortController>} */
  #running = new Map();
  #answer;

  /**
   * @param {readonly ClientTool[]} tools
   * @param {(message: ClientMessage) => void} answer  sends it
   */
  constructor(tools, answer) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#answer = answer;
  }

  /** @returns {{name: string, description: string, parameters?: object}[]} as the offer has them */
  get declarations() {
    return [...this.#tools.values()].map(({ name, description, parameters }) => ({
      name,
      description,
      ...(parameters && { parameters }),
    }));
  }

  /**
   * Runs a tool and answers, once; not where it was cancelled before.
   *
   * @param {ClientToolCall} call
   */
  async run({ id, name, args, seconds }) {
    if (this.#running.has(id)) return; // said twice
    const stop = new AbortController();
    this.#running.set(id, stop);
    const timer = setTimeout(
      () => stop.abort(new DOMException(`${name} took too long.`, "TimeoutError")),
      seconds * 1000,
    );
    let outcome;
    try {
      outcome = { result: bounded(await this.#runUntil(stop.signal, name, args)) };
    } catch (error) {
      outcome = { error: wordsOf(error).slice(0, ERROR_CHARACTERS) };
    } finally {
      clearTimeout(timer);
    }
    // Another one of that id, or none: nobody waits for this one.
    if (this.#running.get(id) !== stop) return;
    this.#running.delete(id);
    this.#answer({ type: "client_tool_result", id, ...outcome });
  }

  /** @param {string} id  of a call that the agent has taken back */
  cancel(id) {
    const stop = this.#running.get(id);
    this.#running.delete(id);
    stop?.abort(new DOMException("The agent no longer waits.", "AbortError"));
  }

  /** The connection is gone, and with it whoever waits. */
  cancelAll() {
    for (const id of [...this.#running.keys()]) this.cancel(id);
  }

  /**
   * @param {AbortSignal} signal
   * @param {string} name
   * @param {unknown} args
   */
  async #runUntil(signal, name, args) {
    const tool = this.#tools.get(name);
    if (!tool) throw new Error(`There is no tool ${name}.`);
    const given = /** @type {Record<string, unknown>} */ (args ?? {});
    const aborted = new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
    );
    // Called inside of a promise: what it throws at once is its error as well.
    return Promise.race([Promise.resolve().then(() => tool.run(given, { signal })), aborted]);
  }
}

/**
 * @param {unknown} value
 * @returns {Record<string, unknown>} what the message carries
 * @throws {Error} it cannot be sent
 */
function bounded(value) {
  const json = JSON.stringify(value ?? null);
  if (json === undefined) throw new Error("The tool's result is not JSON.");
  if (new TextEncoder().encode(json).length > RESULT_BYTES_MAX) {
    throw new Error("The tool's result is too large.");
  }
  const plain = JSON.parse(json);
  const isObject = plain !== null && typeof plain === "object" && !Array.isArray(plain);
  return isObject ? plain : { result: plain };
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message || error.name : String(error);
}
