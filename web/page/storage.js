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
   * @returns {boolean} whether there was room; what is not kept holds until the page is left
   */
  write(key, value) {
    try {
      this.#area().removeItem(key); // also where the new one has no room
      if (value !== null) this.#area().setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Keeps the newest of many: all of them, or half as many until there is room.
   *
   * @param {string} key
   * @param {number} count  how many there are
   * @param {(count: number) => unknown} newest  makes what is kept of so many
   */
  writeNewest(key, count, newest) {
    for (let kept = count; kept > 0; kept = Math.floor(kept / 2)) {
      if (this.write(key, newest(kept))) return;
    }
  }
}

/** For this tab, over reloads. */
export const tab = new Kept(() => sessionStorage);

/** For all visits. */
export const visits = new Kept(() => localStorage);
