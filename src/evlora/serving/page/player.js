// Frames and event images, played together with a time bar.

import { byId, element } from "./text.js";

const NAMES = { rgb: "Frame", events: "Event image", difference: "Difference from the moment before" };
const SPEEDS = [0.01, 0.04, 0.1, 0.25, 0.5, 1, 2, 4, 10, 25, 100];
/** How long a clip plays by default, about. */
const PLEASANT_MS = 4000;
const SHORTEST_STEP_MS = 60;
const STEP_WITHOUT_TIMES_MS = 500;

export class Player {
  #stepped;
  #times = [0];
  #timeName = String;
  #hasTimes = true;
  #pictures = new Map(); // modality → [{t_us, image}]
  #overlays = new Map();
  #canvases = new Map();
  #timer = 0;

  /** @param stepped called with the time that is shown */
  constructor(stepped) {
    this.#stepped = stepped;
    byId("play").addEventListener("click", () => this.toggle());
    byId("time").addEventListener("input", () => { this.pause(); this.#show(); });
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.pause(); });
  }

  get t_us() { return this.#times[Number(byId("time").value)]; }

  /** Take in the pictures of an answer (see answer.js); shows its last moment. */
  async load(answer) {
    this.pause();
    this.#pictures = await decoded(answer.pictures);
    this.#overlays = await decoded(answer.relevance ?? []);
    const all = [...answer.moments, ...answer.pictures].map(({ t_us }) => t_us);
    this.#times = [...new Set(all)].sort((a, b) => a - b);
    if (!this.#times.length) this.#times = [0];
    this.#timeName = answer.timeName;
    this.#hasTimes = answer.hasTimes;
    const shown = ["rgb", "events"].filter((modality) => this.#pictures.has(modality));
    const figures = shown.map((modality) => this.#figure(modality, this.#pictures.get(modality)[0].image));
    const others = shown.slice(0, 1).map((modality) => this.#figure("difference", this.#pictures.get(modality)[0].image));
    byId("stage").replaceChildren(...figures, ...others);
    byId("player").hidden = !figures.length;
    const last = this.#times.length - 1;
    byId("time").max = last;
    byId("time").value = last;
    for (const id of ["play", "time"]) byId(id).disabled = last === 0;
    this.#offerSpeeds();
    this.#show();
  }

  /** A place to draw a view, of the size of a picture. */
  #figure(view, { naturalWidth, naturalHeight }) {
    const canvas = element("canvas", { width: naturalWidth, height: naturalHeight, role: "img" });
    this.#canvases.set(view, canvas);
    return element("figure", {}, canvas, element("figcaption", {}, NAMES[view]));
  }

  /** Take in relevance that came later. */
  async loadRelevance(pictures) {
    this.#overlays = await decoded(pictures);
    this.#show();
  }

  /** Draw again, such as when the relevance was switched. */
  redraw() { this.#show(); }

  toggle() {
    if (this.#timer) { this.pause(); return; }
    if (byId("play").disabled) return;
    if (Number(byId("time").value) === this.#times.length - 1) this.#moveTo(0);
    this.#mark(true);
    this.#wait();
  }

  pause() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#mark(false);
  }

  /** Move by this number of moments. */
  step(by) {
    this.pause();
    this.#moveTo(Number(byId("time").value) + by);
  }

  /** Move to the moment nearest to a time. */
  seek(t_us) {
    this.pause();
    const distance = (place) => Math.abs(this.#times[place] - t_us);
    this.#moveTo(this.#times.reduce((best, _, place) => (distance(place) < distance(best) ? place : best), 0));
  }

  #wait() {
    const place = Number(byId("time").value);
    if (place >= this.#times.length - 1) { this.pause(); return; }
    const speed = Number(byId("speed").value);
    const step = speed ? (this.#times[place + 1] - this.#times[place]) / 1000 / speed : STEP_WITHOUT_TIMES_MS;
    this.#timer = setTimeout(() => { this.#moveTo(place + 1); this.#wait(); }, Math.max(SHORTEST_STEP_MS, step));
  }

  #moveTo(place) {
    byId("time").value = Math.min(this.#times.length - 1, Math.max(0, place));
    this.#show();
  }

  #mark(isPlaying) {
    const button = byId("play");
    button.classList.toggle("playing", isPlaying);
    button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  #show() {
    const t_us = this.t_us, place = Number(byId("time").value);
    const isOver = byId("relevance").checked;
    for (const [modality, pictures] of this.#pictures) {
      const canvas = this.#canvases.get(modality);
      if (!canvas) continue;
      const picture = pictures.findLast((one) => one.t_us <= t_us) ?? pictures[0];
      const overlay = this.#overlays.get(modality)?.find((one) => one.t_us === picture.t_us);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(picture.image, 0, 0, canvas.width, canvas.height);
      if (isOver && overlay) context.drawImage(overlay.image, 0, 0, canvas.width, canvas.height);
      const under = isOver && overlay ? " with the relevance over it" : "";
      canvas.setAttribute("aria-label", `${NAMES[modality]}, ${this.#timeName(picture.t_us)}${under}`);
    }
    this.#showDifference(t_us, isOver);
    const where = `moment ${place + 1} of ${this.#times.length}`;
    byId("clock").textContent = this.#hasTimes ? `${this.#timeName(t_us)} · ${place + 1}/${this.#times.length}` : where;
    byId("time").setAttribute("aria-valuetext", this.#hasTimes ? `${this.#timeName(t_us)}, ${where}` : where);
    this.#stepped(t_us);
  }

  /** The view of differences has no picture of its own: it is drawn while its relevance is shown. */
  #showDifference(t_us, isOver) {
    const canvas = this.#canvases.get("difference");
    if (!canvas) return;
    const overlays = this.#overlays.get("difference");
    canvas.closest("figure").hidden = !(isOver && overlays);
    if (!isOver || !overlays) return;
    const context = canvas.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const overlay = overlays.findLast((one) => one.t_us <= t_us);
    context.globalCompositeOperation = "lighter"; // |r − r before| + |e − e before|
    for (const pictures of this.#pictures.values()) {
      const place = pictures.findIndex((one) => one.t_us === overlay?.t_us);
      if (place > 0) context.drawImage(difference(pictures[place].image, pictures[place - 1].image), 0, 0);
    }
    context.globalCompositeOperation = "source-over";
    if (overlay) context.drawImage(overlay.image, 0, 0, canvas.width, canvas.height);
    const about = overlay ? `${this.#timeName(overlay.t_us)} with the relevance over it` : "none before the first moment";
    canvas.setAttribute("aria-label", `${NAMES.difference}, ${about}`);
  }

  #offerSpeeds() {
    const whole_ms = this.#hasTimes ? (this.#times.at(-1) - this.#times[0]) / 1000 : 0;
    const choice = byId("speed");
    choice.closest("label").hidden = whole_ms <= 0;
    if (whole_ms <= 0) { choice.replaceChildren(); return; }
    const off = (speed) => Math.abs(Math.log(whole_ms / speed / PLEASANT_MS));
    const best = SPEEDS.reduce((one, other) => (off(other) < off(one) ? other : one));
    choice.replaceChildren(...SPEEDS.map((speed) => new Option(speedName(speed), speed, false, speed === best)));
  }
}

function speedName(speed) {
  if (speed === 1) return "real time";
  return speed < 1 ? `${Math.round(1 / speed)}× slower` : `${speed}× faster`;
}

/** How far two pictures of one size lie apart, as a canvas. */
function difference(now, before) {
  const canvas = element("canvas", { width: now.naturalWidth, height: now.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(now, 0, 0);
  context.globalCompositeOperation = "difference";
  context.drawImage(before, 0, 0);
  return canvas;
}

/** Pictures by modality, in the order of time, ready to be drawn. */
async function decoded(pictures) {
  const byModality = new Map();
  const ready = pictures.map(async ({ modality, t_us, png }) => {
    const image = new Image();
    image.src = png;
    await image.decode();
    return { modality, t_us, image };
  });
  for (const one of await Promise.all(ready)) {
    if (!byModality.has(one.modality)) byModality.set(one.modality, []);
    byModality.get(one.modality).push(one);
  }
  for (const list of byModality.values()) list.sort((a, b) => a.t_us - b.t_us);
  return byModality;
}
