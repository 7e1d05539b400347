// What is wrong, worst first, with names. The header counts these findings; Overview lists them.

import { h, neighborLink, number, plural, routeLink } from "/static/dom.js";

const MOST_OF = 0.5; // rejected routes of one host, or of all: more is not normal
const MANY = 0.1; // rejected routes of all: more is worth a look
const NAMED = 5;

// Health reports these too, without names: here they come from the sessions themselves.
const NAMED_HERE = ["guard_holds", "hosts_absent", "prefixes_absent", "hosts_down", "routers_down", "mass_rejection"];

export const LEVELS = ["bad", "warning"];

// From the best to the worst. expected: missing since a moment ago; silent: up, without prefixes
// that truth expects; absent: missing for long.
export const STATES = ["up", "expected", "silent", "rejecting", "stale", "down", "absent"];

export const LABELS = { silent: "up, prefixes absent", rejecting: "up, rejecting", stale: "down, routes kept", expected: "expected, not seen yet" };

export function stateOf(neighbor) {
  if (neighbor.state === "absent" || neighbor.state === "expected") return neighbor.state;
  if (!neighbor.is_up) return neighbor.routes.stale ? "stale" : "down";
  if (neighbor.routes.rejected) return "rejecting";
  return neighbor.absent_prefixes ? "silent" : "up";
}

// The name that truth has for it; a group's name names none of its hosts.
export function nameOf(neighbor) {
  return neighbor.host && neighbor.host !== neighbor.group ? neighbor.host : "";
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
  return [...found, ...prefixes(status.expected)];
}

function prefixes(expected) {
  const count = expected?.absent_prefixes;
  if (!count) return [];
  const names = expected.first_prefixes.flatMap(({ prefix, host, neighbor }, at) => [
    at ? ", " : "", routeLink(prefix), " of ", neighborLink(neighbor, host),
  ]);
  return [{
    level: "warning", title: `${plural(count, "prefix", "prefixes")} absent`,
    detail: [...names, more(count - expected.first_prefixes.length), " · ", h("a", { href: "#/neighbors?state=silent" }, "show all")],
  }];
}

function routes(status, neighbors) {
  const { accepted, rejected, held, total } = status.routes;
  const most = (kind) => neighbors?.filter((n) => n.routes[kind]).sort((one, other) => other.routes[kind] - one.routes[kind]) ?? [];
  const found = [];
  if (held) found.push(finding("warning", `the guard holds ${plural(held, "route")}`, most("held"), "#/guard", "of ", "what triggered it, and what to do"));
  const rejecting = neighbors?.filter((n) => n.role === "host" && n.is_up && n.routes.rejected > MOST_OF * n.routes.total) ?? [];
  if (rejected > MANY * total || rejecting.length) {
    found.push(finding(rejected > MOST_OF * total ? "bad" : "warning",
      `${number(rejected)} of ${plural(accepted + rejected + held, "route")} rejected`, rejecting.length ? rejecting : most("rejected"),
      "#/routes?verdict=rejected", rejecting.length ? "most routes of " : "from "));
  }
  return found;
}

function finding(level, title, of, href, before = "", words = "show all") {
  const names = of.slice(0, NAMED).flatMap((n, at) => [at ? ", " : "", neighborLink(n.neighbor, label(n, of))]);
  return { level, title, detail: [...(of.length ? [before, ...names, more(of.length - NAMED), " · "] : []), h("a", { href }, words)] };
}

function more(count) {
  return count > 0 ? ` and ${number(count)} more` : "";
}

// The address too, where another session of the same host is named.
function label(neighbor, of) {
  const name = nameOf(neighbor);
  if (!name) return neighbor.neighbor;
  return of.some((other) => other !== neighbor && nameOf(other) === name) ? `${name} (${neighbor.neighbor})` : name;
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
