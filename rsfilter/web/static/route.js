// One prefix: the verdict and the failing check first, then who owns it, what routers have, and
// its history.

import { ApiError, get } from "/static/api.js";
import { h, neighborLink, plural, time, verdict } from "/static/dom.js";
import { facts, table } from "/static/table.js";
import { sentence } from "/static/words.js";

export function route(place, { rest }) {
  const story = h("div");
  const history = table("the latest first", HISTORY_COLUMNS, { key: (r) => r.seq, file: "history.csv" });
  place.append(story, h("h2", {}, "History"), history.element);
  let last = "";
  return {
    title: rest,
    every: 10000,
    wants: (kind, event) => kind === "data" || kind === "guard" || event?.prefix === undefined || `${event.prefix}/`.startsWith(`${rest}/`),
    async refresh() {
      const found = await read(rest);
      const key = JSON.stringify([found.routes, found.owners]);
      if (key !== last) story.replaceChildren(...told(rest, found));
      last = key;
      history.set([...found.audit].reverse(), found.is_audit_complete ? "the latest first" : "the latest first; the log is too long to search all of it here");
    },
  };
}

// A prefix that nobody ever announced is an answer, not a failure.
async function read(prefix) {
  try {
    return await get(`routes/${encodeURIComponent(prefix)}`);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return { prefix, routes: [], owners: [], audit: [], is_audit_complete: true };
  }
}

const HISTORY_COLUMNS = [
  { name: "at", cell: (r) => time(r.at) },
  { name: "host", cell: (r) => neighborLink(r.neighbor, r.host) },
  { name: "event", cell: (r) => h("span", { class: r.verdict ?? "" }, sentence(r)), kind: "wide" },
  { name: "AS path", cell: (r) => r.as_path ?? "" },
  { name: "truth", cell: (r) => r.truth?.revision || r.truth?.sha256?.slice(0, 12) || "" },
];

function told(wanted, found) {
  const prefix = found.prefix ?? wanted;
  const many = found.routes.length > 1 ? [h("p", {}, `${plural(found.routes.length, "host")} announce it.`)] : [];
  return [
    h("h2", { class: "mono prefix" }, prefix),
    ...(found.routes.length ? many : [h("p", { class: "verdict" }, h("strong", {}, "No host announces this prefix now."))]),
    ...found.routes.map(headline),
    owners(found),
    ...found.routes.map(details),
  ];
}

function headline({ route, checks, announced }) {
  const failed = checks.filter((check) => !check.is_good).flatMap((check) => check.reasons);
  return h("section", { class: "headline" },
    h("p", { class: "verdict" }, h("strong", {}, verdict(route.verdict)), route.stale ? " (stale)" : "", " from ",
      neighborLink(route.neighbor, route.host || route.neighbor), ` (${route.neighbor}, AS${route.asn})`,
      announced.some((path) => path.is_best) ? " · best path" : ""),
    route.verdict === "held" ? h("p", { class: "failing held" }, h("a", { href: "#/guard" }, "The guard holds this route"), h("span", {}, ": routers keep it until the data are corrected or it is released.")) : [],
    failed.map((reason) => h("p", { class: "failing" },
      h("strong", {}, reason.name), h("span", {}, `: ${reason.text}. How to fix it: ${reason.remedy}.`))));
}

function owners({ owners: known }) {
  if (known === undefined) return h("div");
  const list = known.length
    ? h("ul", { class: "owners" }, known.map((owner) => h("li", {}, ...ownerText(owner))))
    : h("p", {}, "Truth gives this prefix to no host.");
  return h("section", {}, h("h3", {}, "Owner by truth"), list);
}

function ownerText({ host, asn, vrp, sessions: known, announces }) {
  const sessions = known.flatMap(({ neighbor, state }, at) => [
    at ? ", " : "", neighborLink(neighbor), " ", h("span", { class: state === "up" ? "good" : state }, state),
  ]);
  return [h("strong", {}, host || `AS${asn}`), host ? ` (AS${asn})` : "", ` by ${vrp}; `,
    ...(known.length ? ["session ", ...sessions] : [h("span", { class: "bad" }, "no session")]),
    "; ", announces ? "announces it" : h("span", { class: "bad" }, "does not announce it"), "."];
}

function details(one) {
  const { route } = one;
  const rows = [
    ["AS path", route.as_path || "empty"], ["next hop", route.next_hop || "none"], ["origin", one.origin],
    ["MED", one.med ?? "none"],
    ["communities", [...one.communities, ...one.large_communities, ...one.extended_communities].join(" ") || "none"],
    ["origin validation", route.state], ["matching VRPs", route.vrps.join(", ") || "no VRP covers it"],
  ];
  if (one.malformed) rows.push(["malformed", one.malformed]);
  if (one.stale_until) rows.push(["stale until", one.stale_until]);
  const checks = [...one.checks].sort((a, b) => a.is_good - b.is_good);
  return h("section", {},
    h("h3", {}, "Route of ", route.host || route.neighbor),
    facts("attributes", [{ name: "attribute", cell: (row) => row[0] }, { name: "value", cell: (row) => String(row[1]), kind: "wide" }], rows),
    facts("checks", [
      { name: "check", cell: (c) => c.check.replaceAll("_", " ") },
      { name: "result", cell: (c) => h("span", { class: c.is_good ? "good" : "bad" }, c.is_good ? "✓ passed" : "✗ failed") },
      { name: "reasons", cell: (c) => c.reasons.map((reason) => `${reason.name}: ${reason.text}`).join("; "), kind: "wide" },
    ], checks),
    one.announced.length
      ? facts("sent to routers", [
        { name: "routers", cell: (a) => a.routers }, { name: "path id", cell: (a) => a.path_id, kind: "number" },
        { name: "next hop", cell: (a) => a.next_hop }, { name: "AS path", cell: (a) => a.as_path },
        { name: "MED", cell: (a) => a.med ?? "", kind: "number" }, { name: "communities", cell: (a) => a.communities.join(" ") },
        { name: "best", cell: (a) => (a.is_best ? "best" : ""), kind: "wide" },
      ], one.announced)
      : h("p", {}, "This route is not sent to routers."));
}
