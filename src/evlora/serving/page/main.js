// Starts the page: its tabs, the recognizers of the service, the samples.

import { LiveTab } from "./live.js";
import { RecordingTab } from "./recording.js";
import { getJson } from "./service.js";
import { byId, element, several, showProblem } from "./text.js";

const MODALITIES = { rgb: "frames", events: "events" };

let bundles = [];
const chosenBundle = () => bundles[byId("bundle").selectedIndex];
const recording = new RecordingTab(chosenBundle);
const live = new LiveTab(chosenBundle);

function describeBundle() {
  const { labels, modalities, moments, width, height } = chosenBundle();
  const inputs = modalities.map((modality) => MODALITIES[modality] ?? modality).join(" and ");
  byId("about-bundle").textContent = `${several(labels.length, "label")}, ${inputs}, ${several(moments, "moment")} of ${width} × ${height} px`;
}

function chooseBundle() {
  describeBundle();
  recording.bundleChanged();
  live.bundleChanged();
}

async function start() {
  byId("start-problem").replaceChildren();
  try {
    bundles = await getJson("bundles");
    const [limits, samples] = await Promise.all([getJson("limits"), getJson("samples/samples.json")]);
    recording.setLimits(limits);
    recording.setSamples(samples);
  } catch (error) {
    showProblem(byId("start-problem"), error.message, start);
    return;
  }
  byId("bundle").replaceChildren(...bundles.map((bundle) => new Option(bundle.name, bundle.name, bundle.default, bundle.default)));
  byId("bundle").disabled = bundles.length < 2;
  if (bundles.length) chooseBundle();
  else byId("about-bundle").replaceChildren(element("span", { class: "wrong" }, "The service has no recognizer."));
}

byId("bundle").addEventListener("change", chooseBundle);

const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const other of tabs) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", String(isChosen));
    other.tabIndex = isChosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (tab.id !== "tab-live") live.stop();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!by) return;
    const next = tabs[(place + by + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
});

start();
