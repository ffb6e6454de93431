/**
 * The server's HTTP requests: what it is, a call placed, candidates added, the call ended.
 *
 * @module api
 */

import { CallProblem, problemOf } from "./problem.js";

/** The server answers an offer when the agent is there: that may take a while. */
const OFFER_TIMEOUT_MS = 20_000;
/** The first request asks nothing of the agent: where it hangs, the way there is gone. */
const CONFIG_TIMEOUT_MS = 6_000;
/**
 * A first packet that was lost is sent again after 1, 3 and 7 seconds, and one on a connection
 * that was kept open ever more rarely. Another request beside it has a timetable of its own.
 */
const CONFIG_AGAIN_MS = 1_500;

/**
 * @typedef {object} Config
 * @property {RTCIceServer[]} ice_servers
 * @property {string} agent
 * @property {string[]} modalities
 * @property {boolean} auth
 * @property {string} [page]  fingerprint of the page that the server has
 */

/**
 * @typedef {object} PlacedCall
 * @property {string} call_id
 * @property {string} session_id
 * @property {string} user_id
 * @property {string} [resume_token]
 */

/**
 * @typedef {object} RequestOptions
 * @property {unknown} [body]
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 * @property {boolean} [outlivesClose]  what the server has begun for it must be ended, too
 */

/** Below one address, with one token; `close` breaks off what is under way. */
export class Api {
  #base;
  #token;
  #closing = new AbortController();

  /**
   * @param {string | URL} url  where the server's page is; `api/` lies beside it
   * @param {string | null} token  call token or resume token
   */
  constructor(url, token) {
    this.#base = new URL("api/", url);
    this.#token = token;
  }

  /** @param {string} token  that is good from now on */
  useToken(token) {
    this.#token = token;
  }

  close() {
    this.#closing.abort();
  }

  /**
   * @param {string} callId
   * @returns {URL}
   */
  urlOf(callId) {
    return new URL(`calls/${encodeURIComponent(callId)}`, this.#base);
  }

  /**
   * Ends a call, also while the page goes away. Never rejects: the call ends here in any case.
   *
   * @param {URL} call
   * @returns {Promise<unknown>}
   */
  delete(call) {
    const request = { method: "DELETE", headers: this.#headers(), keepalive: true };
    return fetch(call, request).catch(() => {});
  }

  /**
   * @param {object} offer
   * @returns {Promise<PlacedCall & {sdp: string, type: RTCSdpType}>} a call that has begun: it is to be
   *   ended also where the one that asked for it is closed meanwhile
   * @throws {CallProblem}
   */
  place(offer) {
    return this.#json("POST", "calls", { body: offer, outlivesClose: true });
  }

  /**
   * Asks again while there is no answer, and takes the one that comes first.
   *
   * @returns {Promise<Config>}
   * @throws {CallProblem}
   */
  async config() {
    const isDecided = new AbortController();
    const how = { timeoutMs: CONFIG_TIMEOUT_MS, signal: isDecided.signal };
    /** @type {ReturnType<typeof setInterval> | undefined} */
    let asking;
    try {
      return await new Promise((resolve, reject) => {
        const ask = () => this.#json("GET", "config", how).then(resolve, reject);
        asking = setInterval(ask, CONFIG_AGAIN_MS);
        ask();
      });
    } finally {
      clearInterval(asking);
      isDecided.abort();
    }
  }

  /**
   * @param {string} method
   * @param {string | URL} target  below `api/`
   * @param {RequestOptions} [how]
   * @returns {Promise<any>}
   */
  async #json(method, target, how) {
    const response = await this.request(method, target, how);
    try {
      return await response.json();
    } catch (error) {
      // What broke off in the middle is no answer at all.
      const code = error instanceof SyntaxError ? "bad_answer" : "unreachable";
      throw new CallProblem(code, { cause: error });
    }
  }

  /**
   * @param {string} method
   * @param {string | URL} target  below `api/`
   * @param {RequestOptions} [how]
   * @returns {Promise<Response>} a response that is ok
   */
  async request(method, target, how = {}) {
    const { body, timeoutMs = OFFER_TIMEOUT_MS, signal, outlivesClose = false } = how;
    const headers = this.#headers();
    const signals = [AbortSignal.timeout(timeoutMs)];
    if (!outlivesClose) signals.push(this.#closing.signal);
    if (signal) signals.push(signal);
    /** @type {RequestInit} */
    const request = {
      method,
      headers,
      cache: "no-store",
      signal: AbortSignal.any(signals),
    };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(new URL(target, this.#base), request);
    } catch (error) {
      throw new CallProblem("unreachable", { cause: error });
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }

  #headers() {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    return headers;
  }
}
