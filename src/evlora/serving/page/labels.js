// Ranked labels with their probabilities; those that are chosen have a line in the curve.

import { count, drawn, element, percent } from "./text.js";

export const MOST_LINES = 6;
/** Labels that are listed before a reader asks for all. */
const FIRST_LABELS = 6;
/** From this number on there is a field to find a label by. */
const MANY_LABELS = 12;

/** The line of a series as it looks in the curve. */
export function swatch(series) {
  return drawn("svg", { class: `swatch series-${series}`, viewBox: "0 0 22 10", width: 22, height: 10, "aria-hidden": "true" },
    drawn("path", { d: "M1 5H21" }));
}

/** Which labels have a line: label → series, at most MOST_LINES. */
export class Chosen {
  #series = new Map();

  constructor(labels = []) {
    for (const label of labels) this.add(label);
  }

  get labels() { return [...this.#series.keys()]; }
  get isFull() { return this.#series.size >= MOST_LINES; }
  seriesOf(label) { return this.#series.get(label); }

  add(label) {
    if (this.isFull || this.#series.has(label)) return;
    const taken = new Set(this.#series.values());
    for (let series = 0; ; series += 1) {
      if (!taken.has(series)) { this.#series.set(label, series); return; }
    }
  }

  remove(label) { this.#series.delete(label); }
}

/** A list in a fixed order whose probabilities follow the time. */
export class LabelList {
  #parts;
  #labels = [];
  #values = new Map();
  #rows = new Map();
  #isWhole = false;
  #chosen = new Chosen();
  #changed;

  /**
   * @param parts {list, find, more}: the ol; a search field and a button, or neither
   * @param changed called when a label was chosen or no longer is
   */
  constructor(parts, changed) {
    this.#parts = parts;
    this.#changed = changed;
    parts.find?.addEventListener("input", () => this.#draw());
    parts.more?.addEventListener("click", () => { this.#isWhole = !this.#isWhole; this.#draw(); });
  }

  /** Show these labels in this order. */
  load(labels, chosen) {
    this.#labels = labels;
    this.#chosen = chosen;
    this.#isWhole = false;
    if (this.#parts.find) {
      this.#parts.find.value = "";
      this.#parts.find.hidden = labels.length < MANY_LABELS;
    }
    this.#draw();
  }

  /** Show these probabilities, label → share; null where there is no answer yet. */
  show(values) {
    this.#values = values;
    for (const [label, row] of this.#rows) this.#fill(label, row);
  }

  #draw() {
    const wanted = this.#parts.find?.value.trim().toLowerCase();
    const found = wanted ? this.#labels.filter((label) => label.toLowerCase().includes(wanted)) : this.#labels;
    const first = (label, place) => this.#isWhole || wanted || place < FIRST_LABELS || this.#chosen.seriesOf(label) !== undefined;
    const shown = found.filter(first);
    this.#rows = new Map(shown.map((label) => [label, this.#row(label)]));
    this.#parts.list.replaceChildren(...[...this.#rows.values()].map((row) => row.item));
    if (!shown.length) this.#parts.list.append(element("li", { class: "faint" }, "No label with these letters."));
    if (this.#parts.more) {
      this.#parts.more.hidden = Boolean(wanted) || (!this.#isWhole && shown.length === this.#labels.length);
      this.#parts.more.textContent = this.#isWhole ? "Show fewer" : `Show all ${count(this.#labels.length)}`;
    }
    this.show(this.#values);
  }

  #row(label) {
    const series = this.#chosen.seriesOf(label);
    const value = element("span", { class: "value" });
    const bar = element("span", { class: `bar ${series === undefined ? "" : `series-${series}`}`, "aria-hidden": "true" });
    const name = element("span", { class: "name", dir: "auto" }, label);
    const mark = series === undefined ? element("span", { class: "swatch", "aria-hidden": "true" }) : swatch(series);
    const head = this.#changed
      ? element("button", { type: "button", class: "label", "aria-pressed": String(series !== undefined), title: "Line in the curve" }, mark, name, value)
      : element("span", { class: "label" }, mark, name, value);
    if (this.#changed) head.addEventListener("click", () => this.#toggle(label));
    return { item: element("li", {}, head, bar), value, bar };
  }

  #fill(label, row) {
    const value = this.#values.get(label);
    row.value.textContent = value === undefined ? "–" : percent(value);
    row.bar.style.setProperty("--share", value ?? 0);
  }

  #toggle(label) {
    if (this.#chosen.seriesOf(label) !== undefined) this.#chosen.remove(label);
    else this.#chosen.add(label);
    this.#draw();
    const place = [...this.#rows.keys()].indexOf(label);
    this.#parts.list.children[place]?.querySelector("button")?.focus(); // the row was made anew
    this.#changed();
  }
}
