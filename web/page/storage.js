/**
 * What the browser keeps for the page, where it keeps anything: it may be full, or forbidden to.
 *
 * @module storage
 */

class Kept {
  #area;

  /** @param {() => Storage} area  throws where the browser keeps nothing */
  constructor(area) {
    this.#area = area;
  }

  /**
   * @param {string} key
   * @returns {any} what was kept as JSON; null where nothing was, or nothing that can be read
   */
  read(key) {
    try {
      return JSON.parse(this.#area().getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /**
   * @param {string} key
   * @param {unknown} value  null: nothing is kept any more
   */
  write(key, value) {
    try {
      this.#area().removeItem(key); // also where the new one has no room
      if (value !== null) this.#area().setItem(key, JSON.stringify(value));
    } catch {
      // What is not kept holds until the page is left.
    }
  }
}

/** For this tab, over reloads. */
export const tab = new Kept(() => sessionStorage);

/** For all visits. */
export const visits = new Kept(() => localStorage);
