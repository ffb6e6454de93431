/**
 * Which session a call goes on with, after a reload of the tab too, and for whom.
 *
 * @module memory
 */

const STORAGE_KEY = "rtc.conversation";

/** @typedef {import("./api.js").PlacedCall} PlacedCall */

/**
 * @typedef {object} Known
 * @property {string} [sessionId]
 * @property {string} [resumeToken]  is good for that session only
 */

/** The session of one person: another one who uses the same tab begins with nothing. */
export class Memory {
  #storage;
  #token;
  #identity;
  /** @type {Known} */
  #known;

  /**
   * @param {Storage | null} storage  null: nothing outlives the page
   * @param {string | null} token  of the person; null: whoever it was before
   * @param {string | null} sessionId  the one to go on with, whichever is remembered
   */
  constructor(storage, token, sessionId) {
    this.#storage = storage;
    this.#token = token;
    this.#identity = token === null ? null : identityOf(token);
    const known = this.#read();
    this.#known = sessionId && sessionId !== known.sessionId ? { sessionId } : known;
  }

  /** @returns {string | undefined} undefined: the next call begins a new one */
  get sessionId() {
    return this.#known.sessionId;
  }

  /** @returns {string | null} what the server is shown: the one for this session, where there is */
  get token() {
    return this.#known.resumeToken ?? this.#token;
  }

  /** @param {PlacedCall} placed */
  remember({ session_id, resume_token }) {
    this.#known = { sessionId: session_id };
    if (resume_token) this.#known.resumeToken = resume_token;
    this.#write();
  }

  /** @returns {boolean} whether there was a token for the session alone, which is no longer good */
  dropResumeToken() {
    if (!this.#known.resumeToken) return false;
    delete this.#known.resumeToken;
    this.#write();
    return true;
  }

  /** The next call begins a new session. */
  forget() {
    this.#known = {};
    this.#write();
  }

  /** @returns {Known} */
  #read() {
    const { identity, ...known } = this.#stored();
    if (this.#identity === null) {
      this.#identity = identity ?? "";
      return known;
    }
    return identity === this.#identity ? known : {};
  }

  #write() {
    try {
      if (this.#known.sessionId === undefined) this.#storage?.removeItem(STORAGE_KEY);
      else {
        const identity = this.#identity ?? "";
        this.#storage?.setItem(STORAGE_KEY, JSON.stringify({ ...this.#known, identity }));
      }
    } catch {
      // Storage is full or forbidden: a reload begins a new conversation.
    }
  }

  /** @returns {Known & {identity?: string}} */
  #stored() {
    try {
      return JSON.parse(this.#storage?.getItem(STORAGE_KEY) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }
}

/**
 * Whom a call token speaks for, without keeping the token: its subject and session (RFC 7519), or
 * a sum over what it says where it cannot be read.
 *
 * @param {string} token
 * @returns {string}
 */
function identityOf(token) {
  try {
    const [, payload = ""] = token.split(".");
    const { sub, sid } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    if (typeof sub === "string") return JSON.stringify([sub, sid ?? null]);
  } catch {
    // It is no JWT.
  }
  let sum = 0x811c9dc5; // FNV-1a
  for (const character of token) {
    sum = Math.imul(sum ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return sum.toString(16);
}

/** @returns {Storage | null} null where the browser keeps nothing for the page */
export function storageOfPage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
