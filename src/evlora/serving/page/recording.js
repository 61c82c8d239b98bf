// The tab of recordings: choosing one, sending it, showing the answer.

import { asMap, noteworthy, ranked, withTimes } from "./answer.js";
import { Curve } from "./curve.js";
import { Chosen, LabelList, MOST_LINES } from "./labels.js";
import { Player } from "./player.js";
import { getFile, predict, Problem } from "./service.js";
import { byId, bytes, count, element, fillFacts, percent, seconds, several, showProblem } from "./text.js";

/** Labels whose probability is asked for at each moment. */
const MOST_LABELS = 300;
/** Labels that have a line before a reader chooses. */
const FIRST_LINES = 5;
/** Names of videos and images; by their types, a browser takes a camera's .raw for an image. */
const FRAMES = [
  ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif",
  ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".vob", ".wmv", ".flv",
  ".ts", ".m2ts", ".mts", ".3gp", ".ogv", ".asf", ".y4m",
];

export class RecordingTab {
  #bundle; // a function: the bundle that is chosen
  #limits = {};
  #files = null;
  #sending = null; // an AbortController while an answer is awaited
  #answer = null;
  #chosen = new Chosen();
  #player = new Player((t_us) => this.#showTime(t_us));
  #curve = new Curve(byId("curve"), (t_us) => this.#player.seek(t_us));
  #list = new LabelList({ list: byId("labels"), find: byId("find"), more: byId("all-labels") }, () => this.#drawCurve());

  constructor(bundle) {
    this.#bundle = bundle;
    byId("file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.recognize({ recording: target.files[0] });
      target.value = ""; // the same file may be chosen again
    });
    byId("pair").addEventListener("submit", (event) => {
      event.preventDefault();
      this.recognize({ recording: byId("pair-recording").files[0], frames: byId("pair-frames").files[0] });
    });
    byId("without").addEventListener("change", () => this.bundleChanged());
    byId("cancel").addEventListener("click", () => this.#sending?.abort(CANCELLED));
    byId("relevance").addEventListener("change", () => this.#switchRelevance());
    this.#takeDrops();
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** State the limits before a file is sent. */
  setLimits(limits) {
    this.#limits = limits;
    if (limits.upload_bytes) byId("limits").append(` At most ${bytes(limits.upload_bytes)}.`);
  }

  setSamples(samples) {
    byId("samples-title").hidden = !samples.length;
    byId("samples").replaceChildren(...samples.map((sample) => {
      const picture = sample.picture ? [element("img", { src: `samples/${sample.picture}`, alt: "", width: 96, height: 48 })] : [];
      const button = element("button", { type: "button" }, ...picture,
        element("span", {}, element("b", {}, sample.name), element("span", { class: "faint" }, sample.about)));
      button.addEventListener("click", () => this.#takeSample(sample));
      return element("li", {}, button);
    }));
  }

  /** Ask again what was asked with other choices. */
  bundleChanged() {
    byId("use").hidden = this.#bundle().modalities.length < 2;
    if (this.#files) this.recognize(this.#files, { isNew: false });
  }

  /**
   * @param files {recording: File, frames?: File}
   * @param isNew whether the answer takes the focus; where a choice changed, that keeps it
   */
  async recognize(files, { isNew = true } = {}) {
    this.#files = files;
    const sending = this.#begin(files);
    try {
      this.#requireSize(files);
      await this.#show(await this.#ask(files, sending, { relevance: byId("relevance").checked }));
      if (isNew) byId("answer-title").focus();
    } catch (error) {
      if (this.#sending !== sending) return; // a newer file is on its way
      this.#explain(files, error);
    } finally {
      this.#end(sending);
    }
    this.#switchRelevance(); // it may have been switched on meanwhile
  }

  #begin(files) {
    this.#sending?.abort(CANCELLED);
    const sending = this.#sending = new AbortController();
    this.#player.pause();
    byId("problem").replaceChildren();
    byId("relevance-note").textContent = "";
    byId("progress").hidden = false;
    byId("spoken").textContent = `Recognizing ${named(files)}.`;
    this.#step(`Sending ${named(files)}`, 0);
    return sending;
  }

  #end(sending) {
    if (this.#sending !== sending) return;
    this.#sending = null;
    byId("progress").hidden = true;
  }

  async #ask(files, sending, { relevance }) {
    const bundle = this.#bundle();
    if (!bundle) throw new Problem("The service has not listed a recognizer yet; load the page again.");
    const options = { bundle: bundle.name, top: Math.min(MOST_LABELS, bundle.labels.length), relevance };
    if (byId("without").value && bundle.modalities.length > 1) options.without = byId("without").value;
    const most = this.#limits.seconds ? `; at most ${this.#limits.seconds} s` : "";
    const progress = (share) => {
      if (this.#sending !== sending) return;
      if (share < 1) this.#step(`Sending ${named(files)}: ${Math.round(100 * share)}%`, share);
      else this.#step(`Reading and recognizing ${named(files)}${most}`);
    };
    return withTimes(await predict(files, options, progress, sending.signal), options.without);
  }

  #step(sentence, share) {
    byId("step").textContent = sentence;
    if (share === undefined) byId("bar").removeAttribute("value");
    else byId("bar").value = share;
  }

  #requireSize(files) {
    const most = this.#limits.upload_bytes;
    const size = files.recording.size + (files.frames?.size ?? 0);
    if (most && size > most) throw new Problem(`expected at most ${bytes(most)}, got ${bytes(size)}; send a shorter part, such as one that evlora convert cuts.`, 413);
    if (!files.recording.size) throw new Problem("the file is empty; choose another one.", 422);
  }

  #explain(files, error) {
    if (error === CANCELLED) { byId("spoken").textContent = "Cancelled."; return; }
    this.#answer = null;
    byId("answer").hidden = true;
    byId("empty").hidden = false;
    const isKnown = error instanceof Problem;
    const sentence = isKnown ? error.message : `the answer could not be shown (${error.message}).`;
    const retry = isKnown && error.isPassing ? () => this.recognize(files) : null;
    showProblem(byId("problem"), inOwnNames(sentence, files), retry);
  }

  async #takeSample(sample) {
    try {
      const files = { recording: await getFile(`samples/${sample.file}`) };
      if (sample.frames) files.frames = await getFile(`samples/${sample.frames}`);
      await this.recognize(files);
    } catch (error) {
      showProblem(byId("problem"), error.message);
    }
  }

  #takeDrops() {
    const drop = byId("drop"), panel = byId("panel-recording");
    const isOfFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!isOfFiles(event)) return;
      event.preventDefault(); // a file that misses the place must not replace the page
      drop.classList.toggle("over", !panel.hidden);
    });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    addEventListener("drop", (event) => {
      if (!isOfFiles(event)) return;
      event.preventDefault();
      drop.classList.remove("over");
      if (!panel.hidden) this.#takeDropped(event.dataTransfer);
    });
  }

  #takeDropped(transfer) {
    const files = [...transfer.files];
    const isFolder = [...transfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (isFolder) showProblem(byId("problem"), "Expected a file, got a folder; drop the recording inside it.");
    else if (files.length > 2) showProblem(byId("problem"), `Expected one recording, or events and frames in two files; got ${files.length} files.`);
    else if (files.length === 2) {
      const frames = files.find(({ name }) => FRAMES.some((suffix) => name.toLowerCase().endsWith(suffix))) ?? files[1];
      this.recognize({ recording: files.find((file) => file !== frames), frames });
    } else if (files.length) this.recognize({ recording: files[0] });
  }

  async #show(answer) {
    this.#answer = answer;
    const [best] = answer.labels;
    byId("empty").hidden = true;
    byId("answer").hidden = false;
    byId("answer-title").replaceChildren(element("span", { dir: "auto" }, best.label), " ", element("span", { class: "faint" }, percent(best.probability)));
    byId("answer-file").textContent = `${named(this.#files)} · ${answer.bundle}`;
    byId("warnings").replaceChildren(...answer.warnings.map((warning) => element("li", { class: "notice wrap" }, inOwnNames(warning, this.#files))));
    this.#chosen = new Chosen(noteworthy(answer, FIRST_LINES));
    this.#list.load(ranked(answer), this.#chosen);
    this.#showFacts(answer);
    await this.#player.load(answer);
    this.#drawCurve();
    const warned = answer.warnings.length ? ` ${several(answer.warnings.length, "warning")}.` : "";
    byId("spoken").textContent = `${best.label}, ${percent(best.probability)}.${warned}`;
  }

  #showFacts({ recording, timing_ms }) {
    const took = (name) => `${timing_ms[name].toFixed(1)} ms`;
    fillFacts(byId("facts"), [
      ["Format", recording.format],
      ["Size", recording.width ? `${recording.width} × ${recording.height} px` : "unknown"],
      ["Events", count(recording.events ?? 0)],
      ["Frames", count(recording.frames ?? 0)],
      ["Duration", recording.duration_us === null ? "unknown" : seconds(recording.duration_us)],
      ...Object.keys(timing_ms).map((name) => [`Time: ${name}`, took(name)]),
    ]);
  }

  /** The probabilities after the last moment that was complete at this time. */
  #showTime(t_us) {
    if (!this.#answer) return;
    const { moments } = this.#answer;
    const last = moments.findLast((moment) => moment.t_us <= t_us);
    const labels = moments.length ? (last?.labels ?? []) : this.#answer.labels;
    this.#list.show(asMap(labels));
    this.#curve.mark(t_us);
  }

  #drawCurve() {
    const { moments, duration_us, timeName, hasTimes } = this.#answer;
    const tables = moments.map(({ labels }) => asMap(labels));
    const values = (label) => tables.map((table) => table.get(label));
    const all = ranked(this.#answer);
    const lines = this.#chosen.labels.map((name) => ({ name, series: this.#chosen.seriesOf(name), values: values(name) }));
    const others = all.filter((label) => this.#chosen.seriesOf(label) === undefined);
    const times = moments.map(({ t_us }) => t_us);
    this.#curve.load({ times, lines, others: others.map(values), range: [0, Math.max(duration_us, ...times)], timeName, isContinuous: hasTimes });
    this.#curve.mark(this.#player.t_us);
    const rest = others.length ? ` The thin lines are the other ${count(others.length)}.` : "";
    byId("curve-note").textContent = moments.filter(({ labels }) => labels.length).length > 1
      ? `The answer after each moment. Choose up to ${MOST_LINES} labels in the list.${rest}`
      : "There is one answer for the whole recording.";
  }

  async #switchRelevance() {
    const note = byId("relevance-note");
    this.#player.redraw();
    if (!byId("relevance").checked) note.textContent = "";
    if (!byId("relevance").checked || !this.#answer || this.#answer.relevance || this.#sending) return;
    const sending = this.#sending = new AbortController(), answer = this.#answer;
    note.textContent = "Computing the relevance…";
    try {
      const { relevance, warnings } = await this.#ask(this.#files, sending, { relevance: true });
      if (this.#answer !== answer) return;
      answer.relevance = relevance;
      await this.#player.loadRelevance(answer.relevance);
      const reason = warnings.find((warning) => warning.startsWith("no relevance")) ?? "";
      note.textContent = answer.relevance.length ? "Bright: much relevance for the leading label." : reason;
    } catch (error) {
      if (this.#answer !== answer || error === CANCELLED) return;
      byId("relevance").checked = false;
      note.textContent = error.message;
    } finally {
      this.#end(sending);
    }
  }

  #press(event) {
    const isControl = event.target.closest("button, input, select, textarea, summary, a, dialog");
    if (byId("panel-recording").hidden || byId("answer").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isControl && !(isControl.id === "time" && event.key === " ")) return;
    if (event.key === " ") this.#player.toggle();
    else if (event.key === "ArrowLeft") this.#player.step(-1);
    else if (event.key === "ArrowRight") this.#player.step(1);
    else if (event.key.toLowerCase() === "r") byId("relevance").click();
    else return;
    event.preventDefault();
  }
}

const CANCELLED = new Problem("cancelled");

const named = ({ recording, frames }) => (frames ? `${recording.name} and ${frames.name}` : recording.name);

/** A sentence about the file that it is about: the service calls it recording.raw, or not at all. */
function inOwnNames(sentence, files) {
  const service = /^(recording|frames)(\.\w+)*: /;
  const field = sentence.match(service)?.[1];
  return `${field && files[field] ? files[field].name : named(files)}: ${sentence.replace(service, "")}`;
}
