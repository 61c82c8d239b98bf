// Probability over time as lines in an SVG that is as wide as its place.

import { drawn, element, percent } from "./text.js";

const HEIGHT = 230, LEFT = 44, RIGHT = 12, TOP = 12, BOTTOM = 26;
/** Where the axis ends, and its steps. */
const AXES = [[0.05, 0.01], [0.1, 0.02], [0.25, 0.05], [0.5, 0.1], [1, 0.25]];

export class Curve {
  #place;
  #picked;
  #data = null;
  #at = null;
  #marks = null;
  #width = 0;

  /**
   * @param place the element it is drawn in
   * @param picked called with the time that was clicked; none where time cannot be chosen
   */
  constructor(place, picked) {
    this.#place = place;
    this.#picked = picked;
    new ResizeObserver(() => {
      if (Math.abs(place.clientWidth - this.#width) > 1) this.#draw();
    }).observe(place);
  }

  /**
   * @param data {times, range: [begin, end], isContinuous, timeName, lines: [{name, series, values}],
   *   others}; isContinuous: whether there is time between two moments, timeName makes a time readable, a value is a share or undefined where there is none, others
   *   are the values of labels without a name
   */
  load(data) {
    this.#data = data;
    this.#draw();
  }

  /** Mark a time. */
  mark(t_us) {
    this.#at = t_us;
    if (!this.#marks) return;
    const { times, lines } = this.#data;
    const x = this.#x(t_us);
    const place = times.findLastIndex((time) => time <= t_us);
    this.#marks.replaceChildren(drawn("path", { class: "now", d: `M${x} ${TOP}V${HEIGHT - BOTTOM}` }));
    for (const { series, values } of lines) {
      if (values[place] === undefined) continue;
      this.#marks.append(drawn("circle", { class: `dot series-${series}`, cx: this.#x(times[place]), cy: this.#y(values[place]), r: 4.5 }));
    }
  }

  #draw() {
    const width = this.#width = this.#place.clientWidth;
    if (!this.#data || width < 50) return;
    const { lines, others } = this.#data;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": this.#described() });
    svg.append(...this.#axes());
    svg.append(...others.map((values) => this.#line(values, "other")));
    // The first line is the leading label: it lies on top.
    for (const { series, values } of lines.toReversed()) svg.append(this.#line(values, `line series-${series}`));
    this.#marks = drawn("g");
    svg.append(this.#marks);
    if (this.#picked) this.#follow(svg);
    this.#place.replaceChildren(svg, ...this.#table());
    if (this.#at !== null) this.mark(this.#at);
  }

  #axes() {
    const { range, timeName, times, isContinuous } = this.#data, parts = [];
    const [ceiling, step] = this.#axis();
    for (let value = 0; value < ceiling + step / 2; value += step) {
      const y = this.#y(value);
      parts.push(drawn("path", { class: "grid", d: `M${LEFT} ${y}H${this.#width - RIGHT}` }));
      parts.push(drawn("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, `${Math.round(100 * value)}%`));
    }
    if (range[1] <= range[0]) return parts;
    for (const share of this.#width > 420 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1]) {
      const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
      const time = range[0] + share * (range[1] - range[0]);
      if (!isContinuous && !times.includes(time)) continue; // there is no moment between two
      parts.push(drawn("text", { x: this.#x(time), y: HEIGHT - 6, "text-anchor": anchor }, timeName(time)));
    }
    return parts;
  }

  #line(values, name) {
    const { times } = this.#data;
    const points = times.flatMap((time, place) => (values[place] === undefined ? [] : [`${this.#x(time).toFixed(1)} ${this.#y(values[place]).toFixed(1)}`]));
    const path = points.length === 1 ? `M${points[0]}h.01` : `M${points.join("L")}`;
    return drawn("path", { class: name, d: points.length ? path : "" });
  }

  #follow(svg) {
    const pick = (event) => {
      const [begin, end] = this.#data.range;
      const share = (event.clientX - svg.getBoundingClientRect().left - LEFT) / (this.#width - LEFT - RIGHT);
      this.#picked(begin + Math.min(1, Math.max(0, share)) * (end - begin));
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") svg.setPointerCapture(event.pointerId);
      pick(event);
    });
    svg.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
  }

  #described() {
    const { lines } = this.#data;
    const parts = lines.map(({ name, values }) => {
      const given = values.filter((value) => value !== undefined);
      return given.length ? `${name} from ${percent(given[0])} to ${percent(given.at(-1))}` : `${name} without a value`;
    });
    return `Probability over time: ${parts.join("; ")}`;
  }

  /** The same numbers as a table that only a screen reader meets. */
  #table() {
    if (!this.#picked) return []; // a live curve changes too often to be read
    const { times, lines, timeName } = this.#data;
    const head = element("tr", {}, element("th", { scope: "col" }, "Time"), ...lines.map(({ name }) => element("th", { scope: "col" }, name)));
    const rows = times.map((time, place) => element("tr", {}, element("th", { scope: "row" }, timeName(time)),
      ...lines.map(({ values }) => element("td", {}, values[place] === undefined ? "–" : percent(values[place])))));
    return [element("div", { class: "unseen" }, element("table", {}, element("caption", {}, "Probability over time"),
      element("thead", {}, head), element("tbody", {}, ...rows)))];
  }

  /** The first axis that the lines fit on, as its end and its step. */
  #axis() {
    const peak = Math.max(0, ...this.#data.lines.flatMap(({ values }) => values.filter((value) => value !== undefined)));
    return AXES.find(([ceiling]) => peak <= ceiling) ?? AXES.at(-1);
  }

  #x(t_us) {
    const [begin, end] = this.#data.range;
    const share = end > begin ? (t_us - begin) / (end - begin) : 0.5;
    return LEFT + share * (this.#width - LEFT - RIGHT);
  }

  #y(share) {
    return TOP + (1 - share / this.#axis()[0]) * (HEIGHT - TOP - BOTTOM);
  }
}
