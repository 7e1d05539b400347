// What is wrong, worst first, with names. The header counts these findings; Overview lists them.

import { h, neighborLink, number, plural } from "/static/dom.js";

const MOST_OF = 0.5; // rejected routes of one host, or of all: more is not normal
const MANY = 0.1; // rejected routes of all: more is worth a look
const NAMED = 5;

// Health reports these too, without names: here they come from the sessions themselves.
const NAMED_HERE = ["guard_holds", "hosts_absent", "hosts_down", "routers_down", "mass_rejection"];

export const LEVELS = ["bad", "warning"];

// absent: missing for long; expected: missing since a moment ago.
export const STATES = ["up", "rejecting", "stale", "down", "absent", "expected"];

export function stateOf(neighbor) {
  if (neighbor.state === "absent" || neighbor.state === "expected") return neighbor.state;
  if (!neighbor.is_up) return neighbor.routes.stale ? "stale" : "down";
  return neighbor.routes.rejected ? "rejecting" : "up";
}

// neighbors: null while they are not known; then findings have counts in place of names.
export function findings(status, neighbors = null) {
  const found = [
    ...status.health.reasons.map((each) => reported("bad", each)),
    ...sessions(status, neighbors),
    ...routes(status, neighbors),
    ...status.health.warnings.filter((each) => !NAMED_HERE.includes(each.name)).map((each) => reported("warning", each)),
    ...status.readiness.reasons.map((each) => reported("warning", each)),
  ];
  const seen = new Set();
  return found.filter(({ title }) => !seen.has(title) && seen.add(title))
    .sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}

function reported(level, { name, detail }) {
  return { level, title: name.replaceAll("_", " "), detail: [detail] };
}

function sessions(status, neighbors) {
  const { hosts_down: hosts, routers_down: routers, unknown } = status.sessions;
  const are = (test) => neighbors?.filter(test) ?? null;
  const isDown = (n) => ["down", "stale"].includes(stateOf(n));
  const found = [];
  const add = (of, count, what, state, href) => {
    const all = of?.length ?? count;
    if (all) found.push(finding("bad", `${plural(all, `${what} session`)} ${state}`, of ?? [], href));
  };
  add(are((n) => stateOf(n) === "absent"), status.expected?.absent_hosts, "host", "absent", "#/neighbors?state=absent");
  add(are((n) => n.role === "router" && isDown(n)), routers, "router", "down", "#/neighbors?role=router");
  add(are((n) => n.role === "host" && isDown(n)), hosts, "host", "down", "#/neighbors?role=host&state=down");
  if (unknown) found.push(finding("warning", `${plural(unknown, "session")} of unknown neighbors`,
    neighbors?.filter((n) => n.role === "unknown") ?? [], "#/neighbors?role=unknown"));
  return found;
}

function routes(status, neighbors) {
  const { accepted, rejected, held, total } = status.routes;
  const found = [];
  if (held) found.push({
    level: "warning", title: `the guard holds ${plural(held, "route")}`,
    detail: [h("a", { href: "#/guard" }, "what triggered it, and what to do")],
  });
  const rejecting = neighbors?.filter((n) => n.role === "host" && n.is_up && n.routes.rejected > MOST_OF * n.routes.total) ?? [];
  if (rejected > MANY * total || rejecting.length) {
    found.push(finding(rejected > MOST_OF * total ? "bad" : "warning",
      `${number(rejected)} of ${plural(accepted + rejected + held, "route")} rejected`, rejecting, "#/routes?verdict=rejected",
      rejecting.length ? "most routes of " : ""));
  }
  return found;
}

function finding(level, title, of, href, before = "") {
  const names = of.slice(0, NAMED).flatMap((n, at) => [
    at ? ", " : "", neighborLink(n.neighbor, n.host && n.host !== n.group ? n.host : n.neighbor),
  ]);
  const rest = of.length > NAMED ? ` and ${number(of.length - NAMED)} more` : "";
  return { level, title, detail: [before, ...names, rest, of.length ? " · " : "", h("a", { href }, "show all")] };
}

export function worst(found) {
  return found[0]?.level ?? "good";
}

// What is wrong with the data of an RTR cache.
export function cacheProblems(cache) {
  return [
    !cache.is_fresh && "not confirmed recently",
    cache.is_unchanged_long && "unchanged for too long",
    cache.differs_long > 0 && `differs in ${plural(cache.differs_long, "prefix", "prefixes")} for too long`,
  ].filter(Boolean);
}
