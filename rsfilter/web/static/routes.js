// The table of routes: filtered by the filter, not here, and shown a page at a time.

import { choices, get } from "/static/api.js";
import { breakable, choice, conditions, field, h, neighborLink, number, routeLink, text, verdict } from "/static/dom.js";
import { hostField, neighborField } from "/static/suggest.js";
import { table } from "/static/table.js";

const SIZES = ["300", "1000"]; // beside 100

export const ROUTE_COLUMNS = [
  { name: "prefix", cell: (r) => routeLink(r.prefix) },
  { name: "verdict", cell: (r) => [verdict(r.verdict), r.stale ? h("span", { class: "stale" }, " stale") : "", r.is_best ? " best" : ""] },
  { name: "reasons", cell: (r) => r.reasons.join(", ") },
  { name: "host", cell: (r) => neighborLink(r.neighbor, r.host) },
  { name: "neighbor", cell: (r) => breakable(r.neighbor) },
  { name: "AS", cell: (r) => r.asn, kind: "number" },
  { name: "AS path", cell: (r) => r.as_path },
  { name: "next hop", cell: (r) => breakable(r.next_hop) },
  { name: "MED", cell: (r) => r.med ?? "", kind: "number" },
  { name: "communities", cell: (r) => breakable((r.communities ?? []).join(" ")) },
  { name: "VRPs", cell: (r) => (r.vrps.length ? breakable(r.vrps.join(", ")) : r.state) },
];

export const routeKey = (r) => `${r.prefix} ${r.neighbor} ${r.path_id}`;

export function routes(place, { query }) {
  const reason = choice("reason", [], query.get("reason"));
  const form = conditions("routes", [
    field("prefix", text("prefix", query, 22, "203.0.113.0/24")),
    field("match", choice("match", ["covered", "exact"], query.get("match"), "covering")),
    hostField(query),
    field("ASN", text("asn", query, 11, "AS65001")),
    neighborField(query),
    field("verdict", choice("verdict", ["accepted", "rejected", "held"], query.get("verdict"))),
    field("reason", reason),
    field("family", choice("family", ["ipv4", "ipv6"], query.get("family"))),
    field("rows", choice("limit", SIZES, query.get("limit"), "100")),
  ], "Filter", (name, of) => name === "match" && !of.elements.prefix.value);
  const list = table("", ROUTE_COLUMNS, { key: routeKey, file: "routes.csv" });
  const next = h("p");
  place.append(h("h2", {}, "Routes"), form, list.element, next);
  return {
    title: "Routes",
    wants: (kind) => kind !== "drain",
    async refresh() {
      offer(reason, await choices().then((lists) => lists.reason, () => []));
      const page = await get("routes", asked(query));
      const count = `${number(page.routes.length)} ${page.routes.length === 1 ? "route" : "routes"}`;
      list.set(page.routes, page.next || query.get("cursor") ? `${count} on this page, in order of arrival` : count);
      next.replaceChildren(page.next ? h("a", { href: `#/routes?${withCursor(query, page.next)}` }, "Next page") : "");
    },
  };
}

export function asked(query) {
  const given = Object.fromEntries(query);
  if (given.asn) given.asn = given.asn.replace(/^AS/i, "");
  return given;
}

export function offer(select, names) {
  const known = [...select.options].map((option) => option.value);
  select.append(...names.filter((name) => !known.includes(name)).map((name) => h("option", { value: name }, name.replaceAll("_", " "))));
}

function withCursor(query, cursor) {
  const next = new URLSearchParams(query);
  next.set("cursor", cursor);
  return next;
}
