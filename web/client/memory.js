/**
 * Which session a tab goes on with after a reload, and for whom.
 *
 * @module memory
 */

const STORAGE_KEY = "rtc.conversation";

/**
 * @typedef {object} Known
 * @property {string} [sessionId]
 * @property {string} [resumeToken]  is good for that session only
 */

/** The session of one person: another one who uses the same tab begins with nothing. */
export class Memory {
  #storage;
  #identity;

  /**
   * @param {Storage | null} storage  null: nothing is remembered
   * @param {string | null} token  of the person; null: whoever it was before
   */
  constructor(storage, token) {
    this.#storage = storage;
    this.#identity = token === null ? null : identityOf(token);
  }

  /** @returns {Known} */
  read() {
    const { identity, ...known } = this.#stored();
    if (this.#identity === null) {
      this.#identity = identity ?? "";
      return known;
    }
    return identity === this.#identity ? known : {};
  }

  /** @param {Known} known  an empty one forgets */
  write(known) {
    try {
      if (known.sessionId === undefined) this.#storage?.removeItem(STORAGE_KEY);
      else {
        const identity = this.#identity ?? "";
        this.#storage?.setItem(STORAGE_KEY, JSON.stringify({ ...known, identity }));
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
