/**
 * A small plot of the last minute of one figure.
 *
 * It is decoration of a number that stands beside it as text, and hidden from screen readers.
 *
 * @module plot
 */

/** @typedef {{atMs: number, value: number | null}} Point */

const SVG = "http://www.w3.org/2000/svg";
/** How much time a plot shows. */
export const SPAN_MS = 60_000;
/** Points further apart than this are not joined: nobody looked in between. */
const GAP_MS = 2_500;
const WIDTH = 120;
const HEIGHT = 24;

/** The steps that the upper end of a scale is taken from, in each power of ten. */
const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

export class Plot {
  #floor;
  #scale = document.createElement("span");
  #area = document.createElementNS(SVG, "path");
  #line = document.createElementNS(SVG, "path");

  /** @param {number} floor  the scale ends here or higher, so that small noise stays small */
  constructor(floor) {
    this.#floor = floor;
    this.element = document.createElement("span");
    this.element.className = "plot";
    this.element.ariaHidden = "true";
    this.#scale.className = "plot-scale";
    this.#area.setAttribute("class", "plot-area");
    this.#line.setAttribute("class", "plot-line");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.append(this.#area, this.#line);
    this.element.append(this.#scale, svg);
  }

  /**
   * @param {Point[]} points  in the order of time
   * @param {number} nowMs  the end of the plot
   */
  draw(points, nowMs) {
    const shown = points.filter(({ atMs }) => atMs > nowMs - SPAN_MS);
    const values = shown.flatMap(({ value }) => (value === null ? [] : [value]));
    const ceiling = niceCeiling(Math.max(this.#floor, ...values));
    this.#scale.textContent = values.length > 0 ? String(ceiling) : "";
    const runs = runsOf(shown).map((run) =>
      run.map(({ atMs, value }) => ({
        x: round(WIDTH * (1 - (nowMs - atMs) / SPAN_MS)),
        y: round(HEIGHT * (1 - value / ceiling)),
      })),
    );
    this.#line.setAttribute("d", runs.map(lineThrough).join(""));
    this.#area.setAttribute("d", runs.map(areaUnder).join(""));
  }
}

/**
 * The least pleasant number that is not below `value`: 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of
 * ten.
 *
 * @param {number} value  above 0
 */
export function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = STEPS.find((it) => it * power >= value * (1 - 1e-9)) ?? 10;
  return Number((step * power).toPrecision(3));
}

/**
 * Cuts points into runs that are drawn without lifting the pen.
 *
 * @param {Point[]} points
 */
function runsOf(points) {
  /** @type {{atMs: number, value: number}[][]} */
  const runs = [];
  let lastMs = -Infinity;
  for (const { atMs, value } of points) {
    if (value === null) {
      lastMs = -Infinity;
      continue;
    }
    if (atMs - lastMs > GAP_MS) runs.push([]);
    runs.at(-1)?.push({ atMs, value });
    lastMs = atMs;
  }
  return runs;
}

/** @typedef {{x: number, y: number}} Place */

/**
 * @param {Place[]} run
 * @returns {string} a path; of a single point a line of no length, which round caps make a dot
 */
function lineThrough(run) {
  const [first, ...rest] = run.map(({ x, y }) => `${x} ${y}`);
  return `M${first}` + (rest.length > 0 ? rest.map((place) => `L${place}`).join("") : "h0");
}

/** @param {Place[]} run */
function areaUnder(run) {
  const [first, last] = [run[0], run.at(-1)];
  return first && last ? `${lineThrough(run)}L${last.x} ${HEIGHT}L${first.x} ${HEIGHT}Z` : "";
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}
