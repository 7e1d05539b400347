// Plots over time, from the audit log. A start of the filter is a line, not a wave of rejections.

import { getSlowly } from "/static/api.js";
import { choice, conditions, duration, field, h, instant, number, plural, text } from "/static/dom.js";
import { facts } from "/static/table.js";

const RANGES = { "1h": "1 h", "24h": "24 h", "7d": "7 d" };
const HEIGHT = 190;
const COLOURS = ["--plot1", "--plot2", "--plot3", "--plot4", "--plot5", "--plot6", "--plot7"];
const SYNC = "rsfilter"; // all plots show the same moment under the pointer

export function plots(place, { query }) {
  const since = query.get("since") || "1h";
  const until = query.get("until") || "";
  const note = h("p", { class: "faint" });
  const figures = h("div");
  const form = conditions("plots", [
    field("since", text("since", query, 22, "2h, 3d, 2026-11-23T10:00Z")),
    field("until", text("until", query, 22, "now")),
  ], "Show");
  place.append(h("h2", {}, "Plots"),
    h("p", { class: "ranges" }, Object.entries(RANGES).map(([value, label]) => [
      h("a", { href: `#/plots?since=${value}`, "aria-current": value === since && !until ? "true" : null }, label), " "])),
    form, note, figures);
  let drawn = [];
  const leave = () => drawn.forEach((plot) => plot.destroy());
  const resize = new ResizeObserver(() => drawn.forEach((plot) => plot.setSize({ width: figures.clientWidth, height: HEIGHT })));
  resize.observe(figures);
  return {
    title: "Plots",
    every: 30000,
    wants: () => false, // each costs a search of the audit log
    async refresh() {
      const line = await getSlowly("timeline", { since, until });
      leave();
      const width = figures.clientWidth || 800;
      const made = figuresOf(line).map((figure) => draw(figure, line, width));
      drawn = made.map((each) => each.plot);
      const open = [...figures.querySelectorAll("details[open]")].map((each) => each.dataset.of);
      for (const { element } of made) {
        const details = element.querySelector("details");
        details.open = open.includes(details.dataset.of);
      }
      figures.replaceChildren(...made.map((each) => each.element));
      note.replaceChildren(...notes(line));
    },
    leave() {
      resize.disconnect();
      leave();
    },
  };
}

function figuresOf(line) {
  const { accepted, rejected, held, gone, restart } = line.verdicts;
  const reasons = Object.entries(line.reasons).sort((one, other) => sum(other[1]) - sum(one[1])).slice(0, COLOURS.length);
  const per = `per ${duration(line.step_s)}`;
  return [
    { title: `Verdicts ${per}`, series: { accepted, rejected, held, removed: gone, "judged again after a start": restart } },
    { title: `Rejections by reason ${per}`, series: Object.fromEntries(reasons) },
    { title: "Host sessions up", series: { sessions: line.sessions }, isLevel: true },
    { title: "Time since data last changed", series: ages(line), isLevel: true, isAge: true },
  ];
}

function ages(line) {
  const found = {};
  for (const source of new Set(line.changes.map((change) => change.source))) {
    const changes = line.changes.filter((change) => change.source === source).map((change) => change.at);
    found[source] = line.times.map((begin) => {
      const end = Math.min(begin + line.step_s, Date.now() / 1000);
      const last = changes.filter((at) => at <= end).at(-1);
      return last === undefined ? null : end - last;
    });
  }
  return found;
}

// Distances of the lines that are drawn: whole numbers, or durations.
const COUNTS = [1, 2, 5].flatMap((digit) => [0, 1, 2, 3, 4, 5, 6].map((power) => digit * 10 ** power)).sort((one, other) => one - other);
const AGES = [10, 30, 60, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, ...[1, 2, 7, 14, 28].map((days) => days * 86400)];

function draw(figureOf, line, width) {
  const { title, series, isLevel = false, isAge = false } = figureOf;
  const place = h("div");
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(name).trim();
  const names = Object.keys(series);
  const known = (values) => values.map((value, at) => (line.first !== null && line.times[at] + line.step_s <= line.first ? null : value));
  const options = {
    width, height: HEIGHT, title: "", cursor: { sync: { key: SYNC }, drag: { x: true, y: false } },
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.05)] } },
    axes: [{ ...axis(colour), values: (plot, splits) => splits.map((at, index) => label(at, splits[index - 1])) }, 
      { ...axis(colour), size: 60, incrs: isAge ? AGES : COUNTS, values: (_plot, splits) => splits.map(isAge ? duration : number) }],
    series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}Z" }, ...names.map((name, at) => ({
      label: name, stroke: colour(COLOURS[at % COLOURS.length]), width: 1.5, spanGaps: false,
      value: (_plot, value) => (value === null ? "--" : isAge ? duration(value) : number(value)),
      paths: isAge ? undefined : window.uPlot.paths.stepped({ align: 1 }), points: { show: line.times.length < 3 },
    }))],
    hooks: { setSelect: [zoom], drawAxes: [(plot) => drawStarts(plot, line.starts, colour("--held"))] },
  };
  const figure = h("figure", {}, h("figcaption", {}, title), place, numbers(figureOf));
  if (!names.length) place.append(h("p", { class: "faint" }, "None in this period."));
  const plot = new window.uPlot(options, [line.times, ...names.map((name) => known(series[name]))], place);
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", `${title}: ${names.map((name) => `${name} ${total(series[name], isLevel, isAge)}`).join(", ") || "none"}`);
  return { plot, element: figure };
}

function axis(colour) {
  return { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
}

// The day is shown where it begins, and at the left end.
function label(at, before) {
  const text = isoOf(at);
  const day = before === undefined || isoOf(before).slice(0, 10) !== text.slice(0, 10) ? `\n${text.slice(0, 10)}` : "";
  return `${text.slice(11, text.endsWith(":00.000Z") ? 16 : 19)}${day}`;
}

function drawStarts(plot, starts, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.setLineDash([4, 4]);
  for (const at of starts) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// A range that is marked with the pointer becomes the address: back is the way out.
function zoom(plot) {
  if (plot.select.width < 5) return;
  const at = (x) => new Date(plot.posToVal(x, "x") * 1000).toISOString().replace(/\.\d+Z$/, "Z");
  location.hash = `#/plots?${new URLSearchParams({ since: at(plot.select.left), until: at(plot.select.left + plot.select.width) })}`;
}

// The same numbers as text, for those who cannot see the picture.
function numbers({ title, series, isLevel = false, isAge = false }) {
  const rows = Object.entries(series);
  const shown = (value) => (isAge ? duration(value) : number(Math.round(value)));
  return h("details", { "data-of": title }, h("summary", {}, "numbers"), facts(title, [
    { name: "series", cell: ([name]) => name },
    ...(isLevel ? [] : [{ name: "sum", cell: ([, values]) => total(values, false), kind: "number" }]),
    { name: "most", cell: ([, values]) => shown(Math.max(0, ...values)), kind: "number" },
    { name: "latest", cell: ([, values]) => total(values, true, isAge), kind: "wide" },
  ], rows, { file: "plot.csv" }));
}

function notes(line) {
  const words = [`${instant(isoOf(line.times[0])).textContent} to ${instant(isoOf(line.times.at(-1) + line.step_s)).textContent}, in steps of ${duration(line.step_s)}. `];
  if (line.first !== null) words.push(`The log begins at ${instant(isoOf(line.first)).textContent}. `);
  if (line.starts.length) words.push(`${plural(line.starts.length, "start")} of rsfilter (dashed): in the two minutes after one every route is judged again, which is counted apart.`);
  return words;
}

function isoOf(seconds) {
  return new Date(seconds * 1000).toISOString();
}

// What the whole period comes to: a level has its latest value, what is counted its sum.
function total(values, isLevel, isAge = false) {
  const value = isLevel ? values.findLast((each) => each !== null) ?? 0 : sum(values);
  return isAge ? duration(value) : number(Math.round(value));
}

function sum(values) {
  return values.reduce((total, value) => total + (value ?? 0), 0);
}
