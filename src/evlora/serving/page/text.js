// Elements and texts. What comes from outside becomes text, never HTML.

/** An element; `properties` are attributes, children are nodes or become text. */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** The same of SVG. */
export function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function filled(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** A share of 1 as a reader takes it in. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1%";
  return `${(100 * share).toFixed(1)}%`;
}

export const seconds = (t_us) => `${(t_us / 1e6).toFixed(t_us < 1e7 ? 3 : 1)} s`;

export const count = (number) => number.toLocaleString("en");

export function bytes(size) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let place = 0;
  while (size >= 1024 && place < units.length - 1) { size /= 1024; place += 1; }
  return `${size < 10 && place ? size.toFixed(1) : Math.round(size)} ${units[place]}`;
}

/** "1 frame", "8 frames". */
export const several = (number, name) => `${count(number)} ${name}${number === 1 ? "" : "s"}`;

/** Terms and values of a definition list. */
export function fillFacts(list, facts) {
  list.replaceChildren(...facts.map(([term, value]) => (
    element("div", {}, element("dt", {}, term), element("dd", {}, value)))));
}

/** A sentence about what went wrong, in its place; `retry` adds a button. */
export function showProblem(place, sentence, retry) {
  const box = element("div", { class: "notice wrong" }, element("p", { class: "wrap" }, sentence));
  if (retry) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", retry);
    box.append(button);
  }
  place.replaceChildren(box);
}
