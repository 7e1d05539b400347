// Rejections by their most telling reason, minute by minute, as stacked bars.

import { h, number } from "/static/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#2a6fb0", "#c0262d", "#9a6700", "#1a7f37", "#8250df", "#bf5b16", "#5a6470"];
const WIDTH = 900;
const HEIGHT = 120;

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function plot(records, minutes) {
  if (!records.length) return h("p", { class: "faint" }, "none");
  const now = Date.now();
  const byReason = new Map();
  for (const record of records) {
    const ago = Math.floor((now - Date.parse(record.at)) / 60000);
    if (ago < 0 || ago >= minutes) continue;
    const reason = record.reasons[0];
    if (!byReason.has(reason)) byReason.set(reason, new Array(minutes).fill(0));
    byReason.get(reason)[minutes - 1 - ago] += 1;
  }
  const sorted = [...byReason].sort((a, b) => sum(b[1]) - sum(a[1]));
  const series = sorted.slice(0, COLOURS.length);
  const totals = Array.from({ length: minutes }, (_, at) => sum(series.map(([, counts]) => counts[at])));
  const most = Math.max(1, ...totals);
  const picture = svg("svg", {
    class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Rejections by reason: ${series.map(([name, c]) => `${name} ${sum(c)}`).join(", ")}`,
  });
  const step = WIDTH / minutes;
  const floor = new Array(minutes).fill(HEIGHT);
  series.forEach(([name, counts], index) => {
    counts.forEach((count, at) => {
      if (!count) return;
      const height = (count / most) * (HEIGHT - 2);
      floor[at] -= height;
      picture.append(svg("rect", {
        x: at * step + 1, y: floor[at], width: Math.max(1, step - 2), height, fill: COLOURS[index],
      }, svg("title", {}, `${count} ${name}`)));
    });
  });
  // Beside the picture, which is as wide as the window: text in it would be stretched with it.
  const axis = h("p", { class: "axis faint" },
    h("span", {}, `${minutes} min ago`), h("span", {}, `at most ${number(most)} a minute`), h("span", {}, "now"));
  const legend = series.map(([name, counts], index) => {
    const key = h("i");
    key.style.background = COLOURS[index];
    return h("li", {}, key, `${name} ${sum(counts)}`);
  });
  return h("div", {}, picture, axis, h("ul", { class: "legend" }, legend));
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
