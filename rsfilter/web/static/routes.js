// The table of routes: filtered by the filter, not here, and shown a page at a time.

import { get } from "/static/api.js";
import { choice, field, h, hostName, number, problem, routeLink, table, verdict } from "/static/dom.js";

const COLUMNS = [
  ["prefix", (r) => routeLink(r.prefix)],
  ["neighbor", (r) => r.neighbor],
  ["host", (r) => hostName(r.host)],
  ["AS", (r) => r.asn, "number"],
  ["AS path", (r) => r.as_path],
  ["next hop", (r) => r.next_hop],
  ["verdict", (r) => [verdict(r.verdict), r.stale ? h("span", { class: "stale" }, " stale") : ""]],
  ["why", (r) => [...r.reasons, ...(r.vrps.length ? r.vrps : [r.state])].join(", "), "wide"],
];

const FIELDS = ["prefix", "match", "asn", "neighbor", "verdict", "reason", "family"];

export async function routes(place, { query }) {
  place.append(h("h2", {}, "Routes"), filters(query));
  await listing(place, Object.fromEntries(query), "routes that meet every condition, in order of arrival");
}

export async function listing(place, wanted, caption) {
  const shown = table(caption, COLUMNS, []);
  const more = h("button", { type: "button", hidden: true }, "Show more");
  const count = h("p", { class: "faint", role: "status" });
  place.append(shown.element, count, more);
  let cursor = null;
  let total = 0;
  const load = async () => {
    const page = await get("routes", { ...wanted, cursor });
    shown.add(page.routes);
    total += page.routes.length;
    cursor = page.next;
    more.hidden = cursor === null;
    count.textContent = cursor === null ? `${number(total)} in all` : `the first ${number(total)}`;
  };
  more.addEventListener("click", () => load().catch((error) => place.append(problem(error))));
  await load();
  return total;
}

function filters(query) {
  const text = (name, size, placeholder = "") =>
    h("input", { name, size, placeholder, value: query.get(name) ?? "", spellcheck: "false" });
  const form = h("form", { class: "filters", "aria-label": "Filters" },
    field("prefix", text("prefix", 26, "203.0.113.0/24")),
    field("match", choice("match", ["covered", "covering", "exact"], query.get("match"))),
    field("ASN", text("asn", 11)),
    field("neighbor", text("neighbor", 20)),
    field("verdict", choice("verdict", ["accepted", "rejected", "held"], query.get("verdict"))),
    field("reason", text("reason", 20)),
    field("family", choice("family", ["ipv4", "ipv6"], query.get("family"))),
    h("button", {}, "Filter"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = FIELDS.map((name) => [name, form.elements[name].value.trim()]);
    const asked = new URLSearchParams(given.filter(([name, value]) => value && !(name === "match" && !form.elements.prefix.value)));
    location.hash = `#/routes?${asked}`;
  });
  return form;
}
