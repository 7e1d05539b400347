// Sessions: hosts and routers, those expected and absent too.

import { get } from "/static/api.js";
import { choice, conditions, field, h, hostName, neighborLink, number, since } from "/static/dom.js";
import { LABELS, STATES, stateOf } from "/static/state.js";
import { hostField } from "/static/suggest.js";
import { table } from "/static/table.js";

const ROLES = ["host", "router", "unknown"];
const MOST = 1000; // rows that are drawn

export function neighbors(place, { query }, live) {
  const group = choice("group", [], query.get("group"));
  const form = conditions("neighbors", [
    hostField(query, "find", "host, address or ASN"),
    field("role", choice("role", ROLES, query.get("role"))),
    field("group", group),
    field("state", choice("state", STATES, query.get("state"))),
    hidden("sort", query), hidden("down", query),
  ], "Filter");
  const sorting = {
    name: query.get("sort") ?? "",
    isDown: query.get("down") === "1",
    go: (name) => (location.hash = `#/neighbors?${sortedBy(query, name)}`),
  };
  const list = table("", COLUMNS, { key: (n) => n.neighbor, sorting, file: "neighbors.csv" });
  place.append(h("h2", {}, "Neighbors"), form, list.element);
  return {
    title: "Neighbors",
    wants: (kind) => kind !== "drain",
    async refresh() {
      const all = (await get("neighbors")).neighbors;
      offer(group, [...new Set(all.map((n) => n.group))].filter(Boolean).sort());
      const found = all.filter((n) => meets(n, query));
      const shown = found.slice(0, MOST);
      const count = found.length === all.length ? `${number(all.length)} neighbors` : `${number(found.length)} of ${number(all.length)} neighbors`;
      list.set(shown, shown.length < found.length ? `${count}, the first ${number(MOST)}` : count);
    },
  };
}

const COLUMNS = [
  { name: "neighbor", cell: (n) => neighborLink(n.neighbor), by: (n) => n.neighbor },
  { name: "host", cell: (n) => hostName(n.host), by: (n) => n.host },
  { name: "role", cell: (n) => n.role, by: (n) => n.role },
  { name: "group", cell: (n) => hostName(n.group), by: (n) => n.group },
  { name: "AS", cell: (n) => n.asn || "", kind: "number", by: (n) => n.asn },
  { name: "state", cell: (n) => stateText(n), by: (n) => STATES.length - STATES.indexOf(stateOf(n)) },
  { name: "since", cell: (n) => since(n.since), text: (n) => n.since, kind: "short", by: (n) => n.since ?? "" },
  { name: "last down", cell: (n) => hostName(n.reason), by: (n) => n.reason ?? "" },
  { name: "flaps", cell: (n) => (n.flaps ? number(n.flaps) : ""), kind: "number", by: (n) => n.flaps ?? 0 },
  { name: "accepted", cell: (n) => (n.role === "router" ? "" : number(n.routes.accepted)), kind: "number", by: (n) => n.routes.accepted },
  { name: "rejected", cell: (n) => count(n, "rejected"), kind: "number", by: (n) => n.routes.rejected },
  { name: "held", cell: (n) => count(n, "held"), kind: "number", by: (n) => n.routes.held },
  { name: "stale", cell: (n) => count(n, "stale"), kind: "number", by: (n) => n.routes.stale },
  { name: "limit or sent", cell: (n) => (n.router ? progress(n.router) : limit(n)), by: (n) => (n.max_prefixes ? n.routes.total / n.max_prefixes : 0) },
];

export function stateText(neighbor) {
  const state = stateOf(neighbor);
  return h("span", { class: `state ${state}` }, state === "stale" ? "down, stale" : state === "expected" ? state : LABELS[state] ?? state);
}

export function progress(router) {
  if (!router) return "";
  const words = { down: "no session", filling: "being sent", settled: "complete" };
  return `${words[router.phase]}, ${number(router.told)} sent${router.under_way ? `, ${number(router.under_way)} under way` : ""}`;
}

function meets(neighbor, query) {
  const wanted = (query.get("find") ?? "").toLowerCase();
  const state = query.get("state");
  const texts = [neighbor.neighbor, neighbor.host, `AS${neighbor.asn}`].map((each) => (each ?? "").toLowerCase());
  return (!query.get("role") || neighbor.role === query.get("role"))
    && (!query.get("group") || neighbor.group === query.get("group"))
    && (!state || stateOf(neighbor) === state || (state === "silent" && neighbor.absent_prefixes) || (state === "up" && neighbor.is_up) || (state === "down" && stateOf(neighbor) === "stale"))
    && (!wanted || (/^as\d+$/.test(wanted) ? texts[2] === wanted : texts.some((each) => each.includes(wanted))));
}

function offer(select, names) {
  const known = [...select.options].map((option) => option.value);
  for (const name of names) if (!known.includes(name)) select.append(h("option", { value: name }, name));
}

function hidden(name, query) {
  return query.get(name) ? h("input", { type: "hidden", name, value: query.get(name) }) : [];
}

function sortedBy(query, name) {
  const next = new URLSearchParams(query);
  const isDown = query.get("sort") === name && query.get("down") !== "1";
  next.set("sort", name);
  isDown ? next.set("down", "1") : next.delete("down");
  return next;
}

function count(neighbor, name) {
  const value = neighbor.routes[name];
  return value ? h("span", { class: name }, number(value)) : "";
}

function limit(neighbor) {
  if (neighbor.max_prefixes === null || neighbor.max_prefixes === undefined) return "";
  const isClose = neighbor.routes.total >= 0.8 * neighbor.max_prefixes;
  return h("span", { class: isClose ? "warning" : "faint" },
    `${number(neighbor.routes.total)} of ${number(neighbor.max_prefixes)}`);
}
