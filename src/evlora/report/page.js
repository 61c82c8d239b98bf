"use strict";
// Sorting tables, playing clips, looking into the confusion matrix. Nothing is fetched.

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") !== "descending";
      const rows = [...table.tBodies[0].rows];
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const difference = Number(x) - Number(y);
        return Number.isNaN(difference) ? x.localeCompare(y) : difference;
      };
      rows.sort((a, b) => (falling ? order(b, a) : order(a, b)));
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      table.tBodies[0].append(...rows);
    });
  });
}

for (const player of document.querySelectorAll(".player")) {
  const images = [...player.querySelectorAll("img")];
  const slider = player.querySelector("input");
  const button = player.querySelector("button");
  const output = player.querySelector("output");
  let timer = 0;
  const show = () => {
    images.forEach((image, place) => { image.hidden = place !== Number(slider.value); });
    output.textContent = `moment ${Number(slider.value) + 1} of ${images.length}`;
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "play"; };
  button.addEventListener("click", () => {
    if (timer) { stop(); return; }
    button.textContent = "stop";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % images.length;
      show();
    }, 400);
  });
  slider.addEventListener("input", () => { if (timer) stop(); show(); });
  show();
  const shown = slider.value;
  addEventListener("beforeprint", () => images.forEach((image) => { image.hidden = false; }));
  addEventListener("afterprint", () => { slider.value = shown; show(); });
}

const matrix = document.querySelector(".matrix");
if (matrix) {
  const { labels, cells, orders, groups } = JSON.parse(document.getElementById("confusion").textContent);
  const canvas = matrix.querySelector("canvas");
  const choice = matrix.querySelector("select");
  const output = matrix.querySelector("output");
  const context = canvas.getContext("2d");
  const count = labels.length;
  const totals = new Array(count).fill(0);
  for (const [row, , clips] of cells) totals[row] += clips;
  let zoom = 1, left = 0, top = 0, at = null; // in classes
  let order = orders[choice.value], place = [];
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  const look = () => {
    const seen = count / zoom;
    left = clamp(left, 0, count - seen);
    top = clamp(top, 0, count - seen);
    draw(seen);
  };
  const draw = (seen) => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const width = canvas.clientWidth, dense = devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(width * dense);
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, width);
    const font = clamp(width / 55, 9, 13);
    context.font = `${font}px system-ui, sans-serif`;
    const longest = Math.max(...labels.map((label) => context.measureText(label).width));
    const margin = clamp(longest + 12, 40, width * 0.33), side = (width - margin) / seen;
    canvas.margin = margin;
    canvas.side = side;
    context.save();
    context.beginPath();
    context.rect(margin, margin, width - margin, width - margin);
    context.clip();
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [row, column, clips] of cells) {
      const x = margin + (place[column] - left) * side, y = margin + (place[row] - top) * side;
      if (x + side < margin || y + side < margin || x > width || y > width) continue;
      const share = clips / totals[row];
      const strength = 0.25 + 0.75 * share;
      context.fillStyle = row === column ? `rgba(45,125,220,${strength})` : `rgba(220,50,50,${strength})`;
      context.fillRect(x, y, Math.max(2, side), Math.max(2, side));
      if (side > 22) {
        context.fillStyle = dark || strength > 0.6 ? "#fff" : "#000";
        context.font = `${Math.min(13, side / 2.2)}px system-ui, sans-serif`;
        context.fillText(clips, x + side / 2, y + side / 2);
      }
    }
    if (choice.value === "grouped") {
      let first = 0;
      context.strokeStyle = "#d9822b";
      for (const size of groups) {
        const x = margin + (first - left) * side, y = margin + (first - top) * side;
        if (size > 1) context.strokeRect(x, y, size * side, size * side);
        first += size;
      }
    }
    if (at) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.strokeRect(margin + (at[1] - left) * side, margin + (at[0] - top) * side, side, side);
    }
    context.restore();
    context.strokeStyle = line;
    context.strokeRect(margin, margin, width - margin, width - margin);
    context.fillStyle = ink;
    context.font = `${font}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const step = Math.max(1, Math.ceil((font + 1) / side));
    const short = (text) => { // both ends stay: names often differ at the last word
      if (context.measureText(text).width <= margin - 8) return text;
      let kept = text.length - 1;
      const cut = () => `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
      while (kept > 2 && context.measureText(cut()).width > margin - 8) kept -= 1;
      return cut();
    };
    for (let number = Math.floor(top); number < Math.min(count, top + seen); number += 1) {
      const y = margin + (number + 0.5 - top) * side;
      if (number % step || y < margin || y > width) continue;
      context.fillText(short(labels[order[number]]), margin - 5, y);
    }
    context.textAlign = "left";
    for (let number = Math.floor(left); number < Math.min(count, left + seen); number += 1) {
      const x = margin + (number + 0.5 - left) * side;
      if (number % step || x < margin || x > width) continue;
      context.save();
      context.translate(x, margin - 5);
      context.rotate(-Math.PI / 2);
      context.fillText(short(labels[order[number]]), 0, 0);
      context.restore();
    }
  };
  const describe = () => {
    if (!at) { output.textContent = ""; return; }
    const row = order[at[0]], column = order[at[1]];
    const cell = cells.find((one) => one[0] === row && one[1] === column);
    const clips = cell ? cell[2] : 0;
    output.textContent = `true ${labels[row]} → predicted ${labels[column]}: `
      + `${clips} of ${totals[row]} clips`;
  };
  const pick = (row, column) => {
    at = [clamp(row, 0, count - 1), clamp(column, 0, count - 1)];
    const seen = count / zoom;
    if (at[0] < top) top = at[0];
    if (at[0] + 1 > top + seen) top = at[0] + 1 - seen;
    if (at[1] < left) left = at[1];
    if (at[1] + 1 > left + seen) left = at[1] + 1 - seen;
    describe();
    look();
  };
  const zoomBy = (factor, x, y) => {
    const before = count / zoom;
    const across = x === undefined ? 0.5 : x, down = y === undefined ? 0.5 : y;
    const middle = at && x === undefined ? [at[1] + 0.5, at[0] + 0.5] : [left + across * before, top + down * before];
    zoom = clamp(zoom * factor, 1, Math.max(1, count / 6));
    const seen = count / zoom;
    left = middle[0] - across * seen;
    top = middle[1] - down * seen;
    look();
  };
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = (event.clientX - box.left - canvas.margin) / canvas.side;
    const row = (event.clientY - box.top - canvas.margin) / canvas.side;
    return row < 0 || column < 0 ? null : [row, column];
  };
  const arrange = () => {
    order = orders[choice.value];
    place = [];
    order.forEach((label, number) => { place[label] = number; });
    at = null;
    describe();
    look();
  };
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = { x: event.clientX, y: event.clientY, left, top };
    if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    const found = where(event);
    const moved = dragged && Math.hypot(event.clientX - dragged.x, event.clientY - dragged.y) > 4;
    dragged = null;
    if (found && !moved) pick(Math.floor(top + found[0]), Math.floor(left + found[1]));
  });
  canvas.addEventListener("pointercancel", () => { dragged = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && zoom > 1) {
      left = dragged.left - (event.clientX - dragged.x) / canvas.side;
      top = dragged.top - (event.clientY - dragged.y) / canvas.side;
      look();
      return;
    }
    const found = event.pointerType === "mouse" ? where(event) : null;
    if (found) { at = [Math.floor(top + found[0]), Math.floor(left + found[1])].map((one) => clamp(one, 0, count - 1)); describe(); look(); }
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    const found = where(event), seen = count / zoom;
    if (found) zoomBy(event.deltaY < 0 ? 1.25 : 0.8, found[1] / seen, found[0] / seen);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const [row, column] = at ?? [Math.floor(top), Math.floor(left)];
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in steps) pick(row + steps[event.key][0], column + steps[event.key][1]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") { zoom = 1; look(); }
    else return;
    event.preventDefault();
  });
  matrix.querySelector("[data-zoom=in]").addEventListener("click", () => zoomBy(1.5));
  matrix.querySelector("[data-zoom=out]").addEventListener("click", () => zoomBy(1 / 1.5));
  matrix.querySelector("[data-zoom=all]").addEventListener("click", () => { zoom = 1; look(); });
  choice.addEventListener("change", arrange);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  addEventListener("resize", look);
  arrange();
}
