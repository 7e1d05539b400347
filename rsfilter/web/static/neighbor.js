// One neighbor's story: its state, its routes, its history.

import { get } from "/static/api.js";
import { h, instant, neighborLink, number, plural, routeLink, time } from "/static/dom.js";
import { progress, stateText } from "/static/neighbors.js";
import { ROUTE_COLUMNS } from "/static/routes.js";
import { nameOf, stateOf } from "/static/state.js";
import { facts, table } from "/static/table.js";
import { sentence } from "/static/words.js";

const ROUTES = 100;
const RECORDS = 30;

export function neighbor(place, { rest }) {
  const summary = h("div");
  const routes = table("", ROUTE_COLUMNS, { key: (r) => `${r.prefix} ${r.path_id}`, file: "routes.csv" });
  const more = h("p");
  const history = table("the latest first", HISTORY_COLUMNS, { key: (r) => r.seq, file: "history.csv" });
  const parts = h("div", {}, h("h2", {}, "Routes"), routes.element, more);
  place.append(summary, parts, h("h2", {}, "History"), history.element);
  return {
    title: rest,
    every: 10000,
    wants: (_kind, event) => event?.neighbor === rest,
    async refresh() {
      const all = (await get("neighbors")).neighbors;
      const found = all.find((n) => n.neighbor === rest);
      summary.replaceChildren(...(found ? story(found, all.filter((n) => n !== found && nameOf(n) && n.group === found.group && n.host === found.host)) : nobody(rest)));
      parts.hidden = !found || found.role === "router";
      const page = parts.hidden ? { routes: [] } : await get("routes", { neighbor: rest, limit: ROUTES });
      routes.set(page.routes, page.next ? `the first ${number(ROUTES)}` : `${plural(page.routes.length, "route")}`);
      more.replaceChildren(page.next ? h("a", { href: `#/routes?neighbor=${encodeURIComponent(rest)}` }, "all routes, with filters") : "");
      const { records } = await get("audit", { neighbor: rest, limit: RECORDS });
      history.set(records.reverse());
    },
  };
}

const HISTORY_COLUMNS = [
  { name: "at", cell: (r) => time(r.at) },
  { name: "prefix", cell: (r) => routeLink(r.prefix) },
  { name: "event", cell: (r) => h("span", { class: r.verdict ?? "" }, sentence(r)), kind: "wide" },
];

function story(found, others) {
  const name = nameOf(found) || found.neighbor;
  const rows = [
    ["neighbor", found.neighbor], ["role", found.role], ["group", found.group || "none"],
    ["AS", found.asn ? `AS${found.asn}` : "unknown"],
  ];
  if (others.length) rows.push(["other sessions", others.flatMap((n, at) => [at ? ", " : "", neighborLink(n.neighbor), " ", stateText(n)])]);
  if (found.open_asn) rows.push(["AS of its last OPEN", `AS${found.open_asn}: another one, so no session is possible`]);
  if (found.reason) rows.push(["last down", found.reason]);
  if (found.hint) rows.push(["possible reason", found.hint]);
  if (found.lacks?.length) rows.push(["lacks", h("span", { class: "bad" }, `${found.lacks.join(", ")}: required, and not offered`)]);
  if (found.has_password || found.ttl_security) rows.push(["protected by", protection(found)]);
  if (found.absent_prefixes) rows.push(["absent", h("span", { class: "warning" }, `${plural(found.absent_prefixes, "host route")} that truth expects`)]);
  if (found.flaps !== undefined) rows.push(["flaps", number(found.flaps)]);
  if (found.router) rows.push(["router's table", progress(found.router)]);
  if (found.max_prefixes) rows.push(["limit", h("span", { class: found.is_near_limit ? "bad" : "" }, `${number(found.routes.total)} of ${plural(found.max_prefixes, "route")}`)]);
  return [
    h("h2", { class: "verdict" }, h("span", { class: "mono" }, name), ": ", stateText(found)),
    h("p", {}, sessionText(found), " ", routesText(found)),
    facts("", [{ name: "fact", cell: (row) => row[0] }, { name: "value", cell: (row) => row[1], kind: "wide" }], rows),
  ];
}

function protection(found) {
  const hops = found.ttl_security ? `GTSM, ${plural(found.ttl_security, "hop")}` : "";
  return [found.has_password ? "TCP MD5" : "", hops].filter(Boolean).join("; ");
}

function sessionText(found) {
  const since = found.since ? [" since ", instant(found.since)] : "";
  if (["absent", "expected"].includes(stateOf(found))) return ["Truth expects this host, and it has no session", since, "."];
  return [`Its session is ${found.is_up ? "up" : "down"}`, since, "."];
}

function routesText(found) {
  if (found.role === "router") return "";
  const { accepted, rejected, held, stale } = found.routes;
  const parts = [`${plural(accepted, "route")} accepted`, `${number(rejected)} rejected`];
  if (held) parts.push(`${number(held)} held by the guard`);
  if (stale) parts.push(`${number(stale)} kept as stale`);
  return `${parts.join(", ")}.`;
}

function nobody(address) {
  return [h("h2", { class: "mono" }, address),
    h("p", {}, "No session with this address was seen since rsfilter started, and truth does not expect one.")];
}
