/**
 * Keeps the end of a conversation in sight, unless the person has scrolled up.
 *
 * @module scroller
 */

/** Nearer to the end than this, one looks at the end. */
const END_PX = 80;

export class Scroller {
  #box;
  #followsEnd = true;
  #scrolledTo = 0;

  /**
   * @param {HTMLElement} box  that scrolls
   * @param {HTMLElement} content  in it
   */
  constructor(box, content) {
    this.#box = box;
    box.addEventListener("scroll", () => this.#noteScroll());
    const sizes = new ResizeObserver(() => this.#scrollToEnd());
    sizes.observe(box);
    sizes.observe(content);
  }

  /** Who has said something wants to see what comes of it. */
  follow() {
    this.#followsEnd = true;
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    // Words that came since the page scrolled by itself are not a person scrolling up.
    if (isNearEnd || scrollTop < this.#scrolledTo) this.#followsEnd = isNearEnd;
    this.#scrolledTo = scrollTop;
  }

  #scrollToEnd() {
    if (this.#followsEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }
}
