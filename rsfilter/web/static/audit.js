// The audit log, by every condition that `rsfilter audit query` has.

import { get } from "/static/api.js";
import { choice, field, h, hostName, routeLink, table, time, verdict } from "/static/dom.js";
import { why } from "/static/overview.js";

const FIELDS = ["prefix", "match", "asn", "host", "neighbor", "event", "verdict", "reason", "since", "until", "limit"];

export async function audit(place, { query }) {
  const text = (name, size, placeholder = "") =>
    h("input", { name, size, placeholder, value: query.get(name) ?? "", spellcheck: "false" });
  const form = h("form", { class: "filters", "aria-label": "Conditions" },
    field("prefix", text("prefix", 26, "203.0.113.1/32")),
    field("match", choice("match", ["covering", "covered", "exact"], query.get("match"))),
    field("ASN", text("asn", 11)), field("host", text("host", 14)), field("neighbor", text("neighbor", 20)),
    field("event", text("event", 12)), field("verdict", choice("verdict", ["accepted", "rejected", "held"], query.get("verdict"))),
    field("reason", text("reason", 20)), field("since", text("since", 12, "2h, 3d, 2026-11-23")),
    field("until", text("until", 12)), field("newest", text("limit", 5, "100")),
    h("button", {}, "Search"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = FIELDS.map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value);
    location.hash = `#/audit?${new URLSearchParams(given)}`;
  });
  place.append(h("h2", {}, "Audit"), form);
  const { records } = await get("audit", Object.fromEntries(query));
  place.append(table(`${records.length} records, the latest first`, [
    ["at", (r) => time(r.at)],
    ["event", (r) => (r.verdict ? verdict(r.verdict) : r.event.replaceAll("_", " "))],
    ["was", (r) => r.was],
    ["prefix", (r) => routeLink(r.prefix)],
    ["host", (r) => hostName(r.host)],
    ["neighbor", (r) => r.neighbor],
    ["AS", (r) => r.asn, "number"],
    ["AS path", (r) => r.as_path],
    ["why", (r) => why(r), "wide"],
    ["truth", (r) => r.truth?.revision || r.truth?.sha256?.slice(0, 12)],
  ], records.reverse()).element);
}
