// What one sees first: is it healthy, which data are in force, what was decided, what changed.

import { get } from "/static/api.js";
import { h, hostName, number, problem, routeLink, table, time, verdict } from "/static/dom.js";
import { plot } from "/static/plot.js";

const RECENT = 25;
const PLOTTED = 1000;

export function overview(place, _where, live) {
  const top = h("div");
  const plotted = h("div");
  const recent = h("div");
  place.append(top, h("h2", {}, "Rejections in the last hour"), plotted, h("h2", {}, "What changed last"), recent);
  let isDue = true;

  const draw = () => live.status && top.replaceChildren(...summary(live.status));
  const list = () => recent.replaceChildren(changes(live.recent));
  const timer = setInterval(() => isDue && ((isDue = false), list()), 300);
  draw();
  seed(live).then(list, () => {});
  rejections(plotted);
  const plotTimer = setInterval(() => rejections(plotted), 30000);
  const unfollow = live.follow((kind) => (kind === "status" ? draw() : (isDue = true)));
  return () => {
    unfollow();
    clearInterval(timer);
    clearInterval(plotTimer);
  };
}

function summary(status) {
  const findings = [
    ...status.health.reasons.map((f) => ["bad", f]),
    ...status.health.warnings.map((f) => ["warning", f]),
    ...status.readiness.reasons.map((f) => ["warning", f]),
  ];
  const parts = [];
  if (findings.length) {
    parts.push(h("ul", { class: "findings" }, findings.map(([kind, f]) =>
      h("li", { class: kind }, h("strong", {}, f.name.replaceAll("_", " ")), `: ${f.detail}`))));
  }
  const { routes, sessions } = status;
  parts.push(h("div", { class: "cards" },
    card("accepted", routes.accepted, "#/routes?verdict=accepted", "accepted"),
    card("rejected", routes.rejected, "#/routes?verdict=rejected", "rejected"),
    card("held by the guard", routes.held, "#/guard", routes.held ? "held" : ""),
    card("stale", routes.stale, "#/routes", routes.stale ? "stale" : ""),
    card("host sessions up", sessions.hosts_up, "#/neighbors?role=host", "", `${number(sessions.hosts_down)} down`),
    card("router sessions up", sessions.routers_up, "#/neighbors?role=router", "", `${number(sessions.routers_down)} down`)));
  parts.push(h("h2", {}, "Data in force"), data(status));
  return parts;
}

function card(name, count, href, kind, more = "") {
  return h("a", { class: "card", href }, h("strong", { class: kind }, number(count)), name,
    more ? h("span", { class: "faint" }, ` · ${more}`) : "");
}

function data(status) {
  const rows = [];
  if (status.truth) {
    const found = status.truth.in_force;
    rows.push({
      source: "truth",
      what: found ? `revision ${found.revision || "unnamed"} · ${found.sha256.slice(0, 12)}` : "none",
      holds: found ? `${number(found.vrps)} VRPs, ${number(found.hosts)} hosts` : "",
      age: found ? `since ${time(status.truth.loaded)}` : "",
      problem: status.truth.problems.join("; "),
    });
  }
  for (const cache of status.rtr?.caches ?? []) {
    rows.push({
      source: `RTR ${cache.address}${cache.decides ? " (decides)" : ""}`,
      what: cache.state,
      holds: `${number(cache.vrps)} VRPs, serial ${cache.serial}`,
      age: cache.age_s === null ? "never fresh" : `fresh ${Math.round(cache.age_s)} s ago`,
      problem: cache.is_fresh ? "" : "not fresh",
    });
  }
  return table("", [
    ["source", (row) => row.source],
    ["what", (row) => row.what],
    ["holds", (row) => row.holds],
    ["age", (row) => row.age],
    ["problem", (row) => row.problem && h("span", { class: "bad" }, row.problem), "wide"],
  ], rows).element;
}

async function seed(live) {
  if (live.recent.length) return;
  const { records } = await get("audit", { limit: RECENT });
  if (!live.recent.length) live.recent.push(...records.reverse().map((r) => ({ kind: r.event, ...r })));
}

function changes(recent) {
  return table("", [
    ["at", (e) => time(e.at)],
    ["event", (e) => (e.verdict ? verdict(e.verdict) : e.event.replaceAll("_", " "))],
    ["prefix", (e) => routeLink(e.prefix)],
    ["host", (e) => hostName(e.host)],
    ["neighbor", (e) => e.neighbor],
    ["why", (e) => why(e), "wide"],
  ], recent.slice(0, RECENT)).element;
}

export function why(event) {
  if (event.reasons?.length) return event.reasons.join(", ");
  if (event.cause) return event.cause.replaceAll("_", " ");
  const data = Object.entries(event.data ?? {}).filter(([, value]) => value !== "");
  return data.map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ");
}

async function rejections(place) {
  try {
    const { records } = await get("audit", { verdict: "rejected", since: "1h", limit: PLOTTED });
    const note = records.length < PLOTTED ? [] : [h("p", { class: "faint" }, `the newest ${number(PLOTTED)}`)];
    place.replaceChildren(plot(records, 60), ...note);
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}
