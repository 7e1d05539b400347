// The fleet: every route server, what it decides by, and where it differs from this one.

import { get } from "/static/api.js";
import { duration, h, hostName, neighborLink, number, plural, problem, routeLink } from "/static/dom.js";
import { table } from "/static/table.js";

const CAUSES = {
  truth: "other truths",
  rtr: "other RTR data",
  configuration: "other rules",
  guard: "held by the guard",
  max_prefixes: "over max_prefixes",
  session: "no session with one of them",
  route: "announced to one of them only",
  unexplained: "unexplained",
};

export function fleet(place) {
  const trouble = h("div");
  const instances = table("", INSTANCES, { key: (one) => one.instance, file: "fleet.csv" });
  const differences = table("", DIFFERENCES, { key: (one) => `${one.peer} ${one.neighbor} ${one.prefix} ${one.path_id}`, file: "differences.csv" });
  const absent = table("", ABSENT, { key: (one) => one.neighbor, file: "absent.csv" });
  const tables = h("div", { hidden: true }, instances.element, absent.element, differences.element);
  place.append(h("h2", {}, "Fleet"), trouble, tables);
  return {
    title: "Fleet",
    wants: () => false,
    every: 2000,
    async refresh() {
      const found = await get("fleet");
      tables.hidden = false;
      trouble.replaceChildren(...troubles(found));
      instances.set(marked(found), `${plural(found.instances.length, "route server")} of ${found.name}`);
      absent.set(found.absent, found.absent.length ? `${plural(found.absent.length, "host session")} absent` : "no host is absent");
      differences.set(found.differences, caption(found));
    },
  };
}

const INSTANCES = [
  { name: "instance", cell: (one) => (one.isThis ? h("strong", {}, one.instance) : one.instance) },
  { name: "heard", cell: (one) => h("span", { class: one.is_silent ? "bad" : "good" }, one.is_silent ? `silent for ${duration(one.age_s)}` : "yes") },
  { name: "version", cell: (one) => one.version },
  { name: "truth", cell: (one) => h("span", { class: one.other_data === "truth" ? "warning" : "" }, one.revision || one.truth) },
  { name: "RTR", cell: (one) => h("span", { class: one.other_data === "rtr" ? "warning" : "" }, one.rtr) },
  { name: "sessions", cell: (one) => number(one.sessions), kind: "number" },
  { name: "absent", cell: (one) => h("span", { class: one.absent ? "warning" : "" }, number(one.absent)), kind: "number" },
  { name: "accepted", cell: (one) => number(one.accepted), kind: "number" },
  { name: "rejected", cell: (one) => number(one.rejected), kind: "number" },
  { name: "held", cell: (one) => number(one.held), kind: "number" },
  { name: "not shipped", cell: (one) => number(one.behind), kind: "number" },
  { name: "problem", cell: (one) => h("span", { class: "bad" }, one.problem || (one.is_complete ? "" : "its log has a gap")) },
];

const ABSENT = [
  { name: "host", cell: (one) => hostName(one.host) },
  { name: "neighbor", cell: (one) => neighborLink(one.neighbor) },
  { name: "seen by", cell: (one) => h("span", { class: one.seen_by.length ? "warning" : "bad" }, `${one.seen_by.length} of ${one.instances}`) },
  { name: "absent from", cell: (one) => one.absent_from.join(", ") },
  { name: "session with", cell: (one) => one.seen_by.join(", ") || "nobody" },
];

const DIFFERENCES = [
  { name: "prefix", cell: (one) => routeLink(one.prefix) },
  { name: "host", cell: (one) => hostName(one.host) },
  { name: "neighbor", cell: (one) => neighborLink(one.neighbor) },
  { name: "here", cell: (one) => one.here || "nothing" },
  { name: "other", cell: (one) => one.peer },
  { name: "there", cell: (one) => one.there || "nothing" },
  { name: "cause", cell: (one) => h("span", { class: one.cause === "unexplained" ? "bad" : "" }, CAUSES[one.cause] ?? one.cause) },
];

// Each instance with what this one makes of it.
function marked(found) {
  return found.instances.map((one) => ({
    ...one,
    age_s: one.is_silent ? one.age_s : 0,
    isThis: one.instance === found.instance,
  }));
}

function troubles(found) {
  const shown = [];
  if (found.problem) shown.push(problem(`${found.problem}: ${found.detail}`));
  if (!found.has_answer) {
    shown.push(h("p", { class: "warning" }, `The database does not answer: of the fleet only this instance, ${found.instance}, is known.`));
  }
  return shown;
}

function caption({ differences, differing }) {
  if (differences.length) return `${plural(differences.length, "route")} differ`;
  return differing ? "routes differ, and are being compared" : "no route differs";
}
