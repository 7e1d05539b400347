// The audit log, by every condition that `rsfilter audit query` has.

import { choices, getSlowly } from "/static/api.js";
import { breakable, choice, conditions, field, h, neighborLink, plural, routeLink, text, time } from "/static/dom.js";
import { asked, offer } from "/static/routes.js";
import { hostField, neighborField } from "/static/suggest.js";
import { table } from "/static/table.js";
import { sentence } from "/static/words.js";

export function audit(place, { query }) {
  const event = choice("event", [], query.get("event"));
  const reason = choice("reason", [], query.get("reason"));
  const form = conditions("audit", [
    field("prefix", text("prefix", query, 22, "203.0.113.1/32")),
    field("match", choice("match", ["covered", "exact"], query.get("match"), "covering")),
    field("ASN", text("asn", query, 11)), hostField(query), neighborField(query),
    field("event", event), field("verdict", choice("verdict", ["accepted", "rejected", "held"], query.get("verdict"))),
    field("reason", reason), field("since", text("since", query, 14, "2h, 3d, 2026-11-23", { list: "times" })),
    field("until", text("until", query, 14)), field("at most", choice("limit", ["300", "1000"], query.get("limit"), "100")),
    h("datalist", { id: "times" }, ["15m", "1h", "6h", "24h", "7d"].map((value) => h("option", { value }))),
  ], "Search", (name, of) => name === "match" && !of.elements.prefix.value);
  const list = table("", COLUMNS, { key: (r) => r.seq, file: "audit.csv" });
  place.append(h("h2", {}, "Audit"), form, list.element);
  return {
    title: "Audit",
    every: 30000,
    async refresh() {
      const lists = await choices().catch(() => ({}));
      offer(event, lists.event ?? []);
      offer(reason, lists.reason ?? []);
      const { records } = await getSlowly("audit", asked(query));
      list.set(records.reverse(), `${plural(records.length, "record")}, the latest first`);
    },
  };
}

const COLUMNS = [
  { name: "at", cell: (r) => time(r.at), text: (r) => r.at, kind: "short" },
  { name: "event", cell: (r) => r.event.replaceAll("_", " "), kind: "short" },
  { name: "prefix", cell: (r) => routeLink(r.prefix) },
  { name: "host", cell: (r) => neighborLink(r.neighbor, r.host) },
  { name: "neighbor", cell: (r) => breakable(r.neighbor ?? "") },
  { name: "AS", cell: (r) => r.asn ?? "", kind: "number" },
  { name: "AS path", cell: (r) => r.as_path ?? "" },
  { name: "description", cell: (r) => h("span", { class: r.verdict ?? "" }, sentence(r)) },
  { name: "truth", cell: (r) => r.truth?.revision || r.truth?.sha256?.slice(0, 12) || "" },
];
