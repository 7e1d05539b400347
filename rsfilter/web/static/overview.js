// Overview: what is wrong first, then the counts, the data in force, and what changed last.

import { get } from "/static/api.js";
import { ago, duration, h, neighborLink, number, plural, routeLink, time } from "/static/dom.js";
import { cacheProblems, findings } from "/static/state.js";
import { facts, table } from "/static/table.js";
import { sentence } from "/static/words.js";

const RECENT = 25;

export function overview(place, _where, live) {
  const wrong = h("div");
  const counts = h("div");
  const recent = table("the latest first", RECENT_COLUMNS, { key: (e) => `${e.at} ${e.neighbor} ${e.prefix} ${e.event}` });
  place.append(h("h2", { class: "hidden" }, "Overview"), wrong, counts,
    h("h2", {}, "Latest changes"), recent.element);
  let neighbors = null;
  let isSeeded = live.recent.length > 0;

  const draw = () => {
    if (!live.status) return;
    wrong.replaceChildren(findingsList(findings(live.status, neighbors)));
    counts.replaceChildren(...summary(live.status));
  };
  draw();
  return {
    title: "Overview",
    onStatus: draw,
    async refresh() {
      ({ neighbors } = await get("neighbors"));
      draw();
      if (!isSeeded) await seed(live);
      isSeeded = true;
      recent.set(live.recent.slice(0, RECENT));
    },
  };
}

const RECENT_COLUMNS = [
  { name: "at", cell: (e) => time(e.at) },
  { name: "prefix", cell: (e) => routeLink(e.prefix) },
  { name: "host", cell: (e) => neighborLink(e.neighbor, e.host) },
  { name: "event", cell: (e) => h("span", { class: e.verdict ?? "" }, sentence(e)), kind: "wide" },
];

export function findingsList(found) {
  if (!found.length) return h("p", { class: "good" }, "Nothing is wrong.");
  return h("ul", { class: "findings" }, found.map(({ level, title, detail }) =>
    h("li", { class: level }, h("strong", {}, title), h("span", { class: "detail" }, ": ", detail))));
}

function summary(status) {
  const { routes, sessions } = status;
  return [
    h("div", { class: "cards" },
      card("accepted", routes.accepted, "#/routes?verdict=accepted", "accepted"),
      card("rejected", routes.rejected, "#/routes?verdict=rejected", routes.rejected ? "rejected" : ""),
      card("held by the guard", routes.held, "#/guard", routes.held ? "held" : ""),
      card("stale", routes.stale, "#/neighbors?state=stale", routes.stale ? "stale" : ""),
      card("host sessions up", sessions.hosts_up, "#/neighbors?role=host", "", sessions.hosts_down, status.expected?.absent_hosts),
      card("router sessions up", sessions.routers_up, "#/neighbors?role=router", "", sessions.routers_down)),
    h("h2", {}, "Active data"), data(status),
  ];
}

function card(name, count, href, kind, down = 0, absent = 0) {
  return h("a", { class: "card", href }, h("strong", { class: kind }, number(count)), name,
    down ? h("span", { class: "bad" }, ` · ${number(down)} down`) : "",
    absent ? h("span", { class: "absent" }, ` · ${number(absent)} absent`) : "");
}

function data(status) {
  const rows = [];
  if (status.truth) {
    const found = status.truth.in_force;
    rows.push({
      source: "truth",
      state: found ? `revision ${found.revision || "unnamed"} · ${found.sha256.slice(0, 12)}` : "none",
      holds: found ? `${plural(found.vrps, "VRP")}, ${plural(found.hosts, "host")}` : "",
      age: found ? h("span", {}, time(status.truth.loaded), status.truth.built ? h("div", { class: "faint" }, `built ${ago(status.truth.built)}`) : "") : "",
      problem: [...status.truth.problems, ...status.truth.is_old ? ["built longer ago than max_age"] : []].join("; "),
    });
  }
  for (const cache of status.rtr?.caches ?? []) {
    rows.push({
      source: `RTR ${cache.address}${cache.decides ? " (in use)" : ""}`,
      state: cache.state,
      holds: `${plural(cache.vrps, "VRP")}, serial ${cache.serial}`,
      age: cacheAges(cache),
      problem: cacheProblems(cache).join("; "),
    });
  }
  return facts("", [
    { name: "source", cell: (row) => row.source },
    { name: "state", cell: (row) => row.state },
    { name: "content", cell: (row) => row.holds },
    { name: "age", cell: (row) => row.age },
    { name: "problem", cell: (row) => row.problem && h("span", { class: "bad" }, row.problem), kind: "wide" },
  ], rows);
}

// Seconds of ages are counted by the filter's clock.
function cacheAges(cache) {
  if (cache.age_s === null) return "never confirmed";
  const confirmed = h("div", {}, `confirmed ${ago(new Date(Date.now() - 1000 * cache.age_s).toISOString())}`);
  const differs = cache.differs_s === null ? "" : h("div", { class: "faint" },
    `${number(cache.missing)} missing and ${number(cache.extra)} more than where it decides, for ${duration(cache.differs_s)}`);
  return h("span", {}, confirmed, h("div", { class: "faint" }, `unchanged for ${duration(cache.unchanged_s ?? 0)}`), differs);
}

async function seed(live) {
  const { records } = await get("audit", { limit: RECENT });
  if (!live.recent.length) live.recent.push(...records.reverse());
}
