// Which live routes would get another verdict under a truth file. Nothing changes.

import { post } from "/static/api.js";
import { clock, field, h, hostName, number, plural, problem, routeLink, verdict } from "/static/dom.js";
import { facts } from "/static/table.js";

export function impact(place) {
  const input = h("input", { type: "file", accept: ".json,application/json", class: "hidden", id: "file" });
  const drop = h("label", { class: "drop", for: "file" },
    "Drop a truth file here, or choose one. All live routes are judged with it; nothing changes.");
  const found = h("div", { "aria-live": "polite" });
  const token = h("input", { type: "password", autocomplete: "off" });
  input.addEventListener("change", () => {
    if (input.files.length) judge(input.files[0], token.value, found);
    input.value = ""; // the same name again is another file
  });
  for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", isOver);
    });
  }
  drop.addEventListener("drop", (event) => event.dataTransfer.files.length && judge(event.dataTransfer.files[0], token.value, found));
  const needsToken = !["localhost", "[::1]"].includes(location.hostname) && !location.hostname.startsWith("127.");
  place.append(h("h2", {}, "Impact of another truth"), input, drop,
    ...(needsToken ? [h("div", { class: "filters" }, field("token ([http] token_file)", token))] : []), found);
  return { title: "Impact" };
}

async function judge(file, token, place) {
  place.replaceChildren(h("p", {}, `Judging all routes with ${file.name} …`));
  try {
    place.replaceChildren(...result(file, await post("impact", file, token)));
  } catch (error) {
    place.replaceChildren(problem(error.message));
  }
}

function result(file, found) {
  const reasons = Object.entries(found.lost_by_reason).map(([name, count]) => `${number(count)} ${name}`);
  return [
    h("h2", {}, file.name),
    h("p", {}, `At ${clock(new Date())}: `,
      h("strong", { class: found.lost ? "bad" : "good" }, `${number(found.lost)} lost`), ", ",
      h("strong", {}, `${number(found.gained)} gained`),
      ` of ${plural(found.judged, "route")}; routers have ${number(found.accepted_before)} and would have ${number(found.accepted_after)}. `,
      reasons.length ? `Lost: ${reasons.join(", ")}. ` : "",
      found.would_hold ? h("strong", { class: "held" }, "The guard would hold the losses.") : ""),
    h("div", { class: "sides" },
      h("section", {}, h("h3", {}, "Routes"), routesTable(found)),
      h("section", {}, h("h3", {}, "Truth"), ...truthDiff(found))),
  ];
}

function routesTable(found) {
  if (!found.flips.length) return h("p", {}, "No route would get another verdict.");
  return facts(found.is_complete ? "routes with another verdict" : `the first ${number(found.flips.length)} routes with another verdict`, COLUMNS, found.flips, { file: "impact.csv" });
}

function truthDiff({ diff, truth }) {
  const rows = [
    ...diff.first_removed.map((vrp) => ({ change: "removed", vrp })), ...diff.first_added.map((vrp) => ({ change: "added", vrp })),
  ];
  const count = `${number(diff.added)} added, ${number(diff.removed)} removed`;
  const summary = h("p", {}, `${plural(truth.vrps, "VRP")} of ${plural(truth.hosts, "host")}, revision ${truth.revision || "unnamed"}: ${count}.`);
  if (!rows.length) return [summary];
  return [summary, facts(rows.length < diff.added + diff.removed ? `the first ${number(rows.length)} VRPs that differ` : "VRPs that differ from the active truth", [
    { name: "change", cell: (row) => h("span", { class: row.change === "added" ? "good" : "bad" }, row.change) },
    { name: "VRP", cell: (row) => h("span", { class: "mono" }, row.vrp), kind: "wide" },
  ], rows, { file: "truth-diff.csv" })];
}

const COLUMNS = [
  { name: "prefix", cell: (f) => routeLink(f.prefix) },
  { name: "neighbor", cell: (f) => f.neighbor },
  { name: "host", cell: (f) => hostName(f.host) },
  { name: "AS", cell: (f) => f.asn, kind: "number" },
  { name: "now", cell: (f) => verdict(f.was) },
  { name: "then", cell: (f) => verdict(f.verdict) },
  { name: "reasons", cell: (f) => [...f.reasons, ...f.vrps].join(", "), kind: "wide" },
];
