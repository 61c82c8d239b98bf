// The tab of the live camera: its frames go to the service, labels and event images come back.

import { asMap, ranked } from "./answer.js";
import { Curve } from "./curve.js";
import { Chosen, LabelList } from "./labels.js";
import { address } from "./service.js";
import { byId, count, fillFacts, seconds, showProblem } from "./text.js";
import { askForToken, currentToken } from "./token.js";

const ENCODED_PICTURE = 2;
const HEADER_BYTES = 16;
const JPEG_QUALITY = 0.92;
const LINES = 5;
/** Labels that are asked for: those that led a while ago keep their line. */
const MOST_LABELS = 50;
/** Over this time the leading labels are chosen, so that the list does not flicker. */
const LEADING_US = 1_500_000;
const WINDOW_US = 10_000_000;
/** Frames without an answer at which the next ones are skipped. */
const MOST_WAITING = 2;
/** After this time without an answer a frame is sent all the same. */
const PATIENCE_MS = 500;
const TOKEN_WANTED = 401;

export class LiveTab {
  #bundle;
  #stream = null;
  #socket = null;
  #list = new LabelList({ list: byId("live-labels") });
  #curve = new Curve(byId("live-curve"));
  #canvas = document.createElement("canvas");
  #starting = null; // stands for the start that is under way
  #run = null; // what is counted of the stream that runs

  constructor(bundle) {
    this.#bundle = bundle;
    byId("live-start").addEventListener("click", () => this.#start());
    byId("live-stop").addEventListener("click", () => this.stop());
    byId("camera").addEventListener("change", () => { if (this.#stream) this.#start(); });
    addEventListener("pagehide", () => this.stop());
  }

  /** Stream to the bundle that is chosen now. */
  bundleChanged() {
    if (this.#stream) this.#connect();
  }

  stop() {
    this.#starting = null;
    this.#disconnect();
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#mark(false);
  }

  async #start() {
    this.stop();
    const starting = this.#starting = {};
    byId("live-start").disabled = true;
    byId("live-problem").replaceChildren();
    byId("live-status").textContent = "Waiting for the camera…";
    const video = byId("video");
    try {
      const stream = await camera(byId("camera").value);
      if (this.#starting !== starting) { // stopped, or started with another camera
        stream.getTracks().forEach((track) => track.stop());
        return;
      }
      this.#stream = stream;
      video.srcObject = this.#stream;
      await video.play();
    } catch (error) {
      if (this.#starting === starting) this.#fail(cameraProblem(error));
      return;
    }
    for (const track of this.#stream.getTracks()) track.addEventListener("ended", () => this.#fail("The camera was unplugged or taken by another program."));
    await this.#offerCameras();
    byId("live-view").hidden = false;
    this.#mark(true);
    this.#connect();
  }

  #connect() {
    this.#disconnect();
    const bundle = this.#bundle(), video = byId("video");
    if (!bundle) { this.#fail("The service has not listed a recognizer yet; load the page again."); return; }
    const height = Math.min(video.videoHeight, bundle.height);
    const width = Math.round(video.videoWidth * height / video.videoHeight);
    Object.assign(this.#canvas, { width, height });
    const url = address("live");
    url.protocol = url.protocol.replace("http", "ws");
    const socket = this.#socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#run = { begin_ms: 0, sent: [], offered_ms: 0, lastSent_ms: 0, answers: 0, skipped: 0, dropped: 0, moments: [], chosen: new Chosen() };
    const isOfEvents = bundle.modalities.includes("events");
    byId("live-events").closest("figure").hidden = !isOfEvents;
    socket.addEventListener("open", () => {
      const first = { bundle: bundle.name, width, height, simulate: isOfEvents, pictures: isOfEvents, top: Math.min(MOST_LABELS, bundle.labels.length) };
      if (currentToken()) first.token = currentToken();
      socket.send(JSON.stringify(first));
      byId("live-status").textContent = `Connected to ${bundle.name}; waiting for the first answer.`;
      this.#follow(socket);
    });
    socket.addEventListener("message", ({ data }) => { if (socket === this.#socket) this.#take(JSON.parse(data)); });
    socket.addEventListener("close", () => { if (socket === this.#socket) this.#closed(); });
  }

  #disconnect() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Send the video's frames as long as this socket is the one in use. */
  #follow(socket) {
    const video = byId("video");
    const next = () => {
      if (socket !== this.#socket) return;
      this.#offer(socket);
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(next);
      else requestAnimationFrame(next);
    };
    next();
  }

  #offer(socket) {
    const run = this.#run, now = performance.now();
    if (now - run.offered_ms < 1000 / Number(byId("rate").value) - 4) return;
    run.offered_ms = now;
    const isBehind = run.sent.length >= MOST_WAITING && now - run.lastSent_ms < PATIENCE_MS;
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > 0 || run.isEncoding || isBehind) { run.skipped += 1; return; }
    run.begin_ms ||= now;
    run.lastSent_ms = now;
    const t_us = Math.round(1000 * (now - run.begin_ms));
    const { width, height } = this.#canvas;
    this.#canvas.getContext("2d").drawImage(byId("video"), 0, 0, width, height);
    run.isEncoding = true;
    run.sent.push({ t_us, now });
    this.#canvas.toBlob(async (blob) => {
      const jpeg = await blob.arrayBuffer();
      run.isEncoding = false;
      if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
      const message = new Uint8Array(HEADER_BYTES + jpeg.byteLength);
      const view = new DataView(message.buffer);
      view.setUint8(0, ENCODED_PICTURE);
      view.setBigInt64(8, BigInt(t_us), true);
      message.set(new Uint8Array(jpeg), HEADER_BYTES);
      socket.send(message);
    }, "image/jpeg", JPEG_QUALITY);
  }

  #take(answer) {
    if (answer.error) { this.#run.refusal = answer; return; }
    const run = this.#run;
    const own = run.sent.find(({ t_us }) => t_us === answer.t_us);
    run.sent = run.sent.filter(({ t_us }) => t_us > answer.t_us);
    if (!run.answers) byId("live-status").textContent = "Live.";
    run.answers += 1;
    run.dropped += answer.dropped_moments ?? 0;
    run.roundTrip_ms = own && performance.now() - own.now;
    run.moments = [...run.moments, { t_us: answer.t_us, values: asMap(answer.labels) }].filter(({ t_us }) => t_us >= answer.t_us - WINDOW_US);
    this.#showLabels(answer);
    this.#showFacts(answer);
    if (answer.event_image) this.#showEvents(answer.event_image);
  }

  #showLabels({ t_us, labels }) {
    const { moments, chosen } = this.#run;
    const leading = leaders(moments.filter((moment) => moment.t_us > t_us - LEADING_US));
    for (const label of chosen.labels) if (!leading.includes(label)) chosen.remove(label);
    for (const label of leading) chosen.add(label);
    this.#list.load(leading, chosen);
    this.#list.show(asMap(labels));
    const lines = chosen.labels.map((name) => ({ name, series: chosen.seriesOf(name), values: moments.map(({ values }) => values.get(name)) }));
    this.#curve.load({ times: moments.map((one) => one.t_us), lines, others: [], range: [Math.max(0, t_us - WINDOW_US), Math.max(t_us, WINDOW_US)], timeName: seconds, isContinuous: true });
    this.#curve.mark(t_us);
  }

  #showFacts({ latency_ms }) {
    const { moments, roundTrip_ms, skipped, dropped, answers } = this.#run;
    const span_us = moments.at(-1).t_us - moments[0].t_us;
    const facts = [["Latency", `${latency_ms.toFixed(0)} ms`]];
    if (roundTrip_ms) facts.push(["With the network", `${roundTrip_ms.toFixed(0)} ms`]);
    if (span_us) facts.push(["Answers a second", (1e6 * (moments.length - 1) / span_us).toFixed(1)]);
    facts.push(["Answers", count(answers)], ["Frames skipped here", count(skipped)], ["Moments skipped by the service", count(dropped)]);
    fillFacts(byId("live-facts"), facts);
  }

  async #showEvents(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = byId("live-events");
    if (canvas.width !== image.naturalWidth) canvas.width = image.naturalWidth;
    if (canvas.height !== image.naturalHeight) canvas.height = image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0);
  }

  async #closed() {
    const { error, status } = this.#run.refusal ?? {};
    this.#socket = null;
    if (status === TOKEN_WANTED && await askForToken(currentToken() ? error : "")) { this.#connect(); return; }
    this.#fail(error ?? "The connection to the service ended. Check that evlora serve is running, and start again.");
  }

  #fail(sentence) {
    this.stop();
    byId("live-status").textContent = "";
    showProblem(byId("live-problem"), sentence);
  }

  #mark(isRunning) {
    byId("live-start").disabled = isRunning;
    byId("live-stop").disabled = !isRunning;
    if (!isRunning && byId("live-status").textContent) byId("live-status").textContent = "Stopped.";
  }

  async #offerCameras() {
    const found = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const used = this.#stream?.getVideoTracks()[0]?.getSettings().deviceId;
    byId("camera").replaceChildren(...found.map(({ label, deviceId }, place) => (
      new Option(label || `Camera ${place + 1}`, deviceId, false, deviceId === used))));
  }
}

/** The labels that are most probable on the average of some moments. */
function leaders(moments) {
  const sums = new Map();
  for (const { values } of moments) for (const [label, value] of values) sums.set(label, (sums.get(label) ?? 0) + value);
  const labels = [...sums].map(([label, probability]) => ({ label, probability }));
  return ranked({ labels: labels.sort((a, b) => b.probability - a.probability).slice(0, LINES) });
}

function camera(deviceId) {
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  if (deviceId) wanted.deviceId = { exact: deviceId };
  return navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
}

function cameraProblem({ name, message }) {
  const reasons = {
    NotAllowedError: "The browser was not allowed to use the camera; permit it beside the address, and start again.",
    NotFoundError: "There is no camera; plug one in, and start again.",
    NotReadableError: "The camera is in use by another program; close that, and start again.",
    OverconstrainedError: "The camera that was chosen is gone; choose another one.",
    SecurityError: "Browsers share a camera only with a page that comes over https or from this machine (localhost); open the page that way.",
  };
  return reasons[name] ?? `The camera could not be started: ${message}`;
}
