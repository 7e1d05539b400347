// Sessions: who is up, since when, how much of its limit each host uses.

import { get } from "/static/api.js";
import { choice, field, h, hostName, number, table, time } from "/static/dom.js";

export async function neighbors(place, { query }) {
  const role = choice("role", ["host", "router", "unknown"], query.get("role"));
  role.addEventListener("change", () => (location.hash = `#/neighbors?role=${role.value}`));
  const found = (await get("neighbors", { role: query.get("role") })).neighbors;
  place.append(h("h2", {}, "Neighbors"), h("form", { class: "filters" }, field("role", role)));
  place.append(table(`${number(found.length)} sessions`, [
    ["neighbor", (n) => h("a", { class: "mono", href: `#/routes?neighbor=${encodeURIComponent(n.neighbor)}` }, n.neighbor)],
    ["role", (n) => n.role],
    ["group", (n) => n.group],
    ["host", (n) => hostName(n.host)],
    ["AS", (n) => n.asn, "number"],
    ["state", (n) => h("span", { class: n.is_up ? "good" : "bad" }, n.is_up ? "up" : "down")],
    ["since", (n) => time(n.since)],
    ["accepted", (n) => n.router ? "" : number(n.routes.accepted), "number"],
    ["rejected", (n) => count(n, "rejected"), "number"],
    ["held", (n) => count(n, "held"), "number"],
    ["stale", (n) => count(n, "stale"), "number"],
    ["limit", (n) => limit(n), "number"],
    ["router's table", (n) => n.router && `${n.router.phase}, ${number(n.router.told)} told`],
  ], found).element);
}

function count(neighbor, name) {
  const value = neighbor.routes[name];
  return value ? h("span", { class: name }, number(value)) : "";
}

function limit(neighbor) {
  if (neighbor.max_prefixes === null) return "";
  const isClose = neighbor.routes.total >= 0.8 * neighbor.max_prefixes;
  return h("span", { class: isClose ? "warning" : "faint" },
    `${number(neighbor.routes.total)} of ${number(neighbor.max_prefixes)}`);
}
