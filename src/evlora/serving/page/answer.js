// The service's answer in the form that the page shows: every moment and picture has a place in time.

import { seconds } from "./text.js";

/** Modalities that have pictures. */
const SHOWN = ["rgb", "events"];
const DIFFERENCE = "difference";

/** How /predict calls a modality that it hides → how an answer calls it. */
const HIDDEN = { rgb: "rgb", event: "events" };

/**
 * What the service answered, with times for all; those without any are numbered.
 *
 * @param without the modality that was hidden, if one was: it has no pictures to be seen
 */
export function withTimes(answer, without) {
  const isShown = ({ modality }) => SHOWN.includes(modality) && modality !== HIDDEN[without];
  const isOver = (one) => one.modality === DIFFERENCE || isShown(one);
  const { moments = [], pictures = [], relevance } = answer;
  const hasTimes = [...moments, ...pictures].every(({ t_us }) => t_us !== null);
  const placed = hasTimes ? (list) => list : numbered;
  return {
    ...answer,
    hasTimes,
    moments: placed(moments),
    pictures: placed(pictures.filter(isShown)),
    relevance: relevance && placed(relevance.filter(isOver)),
    duration_us: hasTimes ? (answer.recording.duration_us ?? 0) : 0,
    timeName: hasTimes ? seconds : (place) => `moment ${place + 1}`,
  };
}

/** Label → probability. */
export const asMap = (labels) => new Map(labels.map(({ label, probability }) => [label, probability]));

/** All labels that an answer names, the most probable first. */
export const ranked = ({ labels }) => labels.map(({ label }) => label);

/** The most probable labels, and those that led at some moment, at most `most`. */
export function noteworthy(answer, most) {
  const leaders = answer.moments.flatMap(({ labels }) => labels.slice(0, 1)).map(({ label }) => label);
  const best = ranked(answer);
  return [...new Set([...best.slice(0, 3), ...leaders, ...best.slice(0, most)])].slice(0, most);
}

/** The place in its own series stands for the time. */
function numbered(list) {
  const next = new Map();
  return list.map((one) => {
    const t_us = next.get(one.modality) ?? Number(one.modality === DIFFERENCE); // the first moment has none
    next.set(one.modality, t_us + 1);
    return { ...one, t_us };
  });
}
