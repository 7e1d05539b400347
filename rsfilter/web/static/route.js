// One prefix: every host's route of it, each check, the VRPs that decided, what routers get, and
// what the audit log has of it.

import { get } from "/static/api.js";
import { h, hostName, table, time, verdict } from "/static/dom.js";
import { why } from "/static/overview.js";

export async function route(place, { rest }) {
  const prefix = decodeURIComponent(rest);
  place.append(h("h2", { class: "mono" }, prefix));
  const story = await get(`routes/${encodeURIComponent(prefix)}`);
  if (!story.routes.length) place.append(h("p", {}, "Nobody announces it now."));
  for (const one of story.routes) place.append(section(one));
  place.append(h("h2", {}, "History"), history(story));
}

function section(one) {
  const { route } = one;
  const facts = [
    ["AS path", route.as_path || "empty"], ["next hop", route.next_hop || "none"], ["origin", one.origin],
    ["MED", one.med ?? "none"], ["communities", [...one.communities, ...one.large_communities, ...one.extended_communities].join(" ") || "none"],
    ["validation", route.state], ["decided by", route.vrps.join(", ") || "no VRP covers it"],
  ];
  if (one.malformed) facts.push(["malformed", one.malformed]);
  if (one.stale_until) facts.push(["stale until", time(one.stale_until)]);
  return h("section", {},
    h("h2", {}, verdict(route.verdict), ` from ${route.host || "unknown"} (${route.neighbor}, AS${route.asn})`),
    table("", [["what", (row) => row[0]], ["is", (row) => String(row[1]), "wide"]], facts).element,
    h("h2", {}, "Checks"),
    table("", [
      ["", (c) => h("span", { class: c.is_good ? "good" : "bad" }, c.is_good ? "✓" : "✗")],
      ["check", (c) => c.check.replaceAll("_", " ")],
      ["finding", (c) => c.is_good ? "good" : c.reasons.map(finding), "wide"],
    ], one.checks).element,
    h("h2", {}, "What routers get"),
    one.announced.length
      ? table("", [
        ["routers", (a) => a.routers], ["path id", (a) => a.path_id, "number"], ["next hop", (a) => a.next_hop],
        ["AS path", (a) => a.as_path], ["MED", (a) => a.med ?? ""], ["communities", (a) => a.communities.join(" ")],
        ["", (a) => (a.is_best ? "best" : "")],
      ], one.announced).element
      : h("p", {}, "nothing"));
}

function finding(reason) {
  return h("div", {}, `${reason.name}: ${reason.text}`, h("div", { class: "faint" }, reason.remedy));
}

function history(story) {
  const caption = story.is_audit_complete ? "the latest first" : "the latest first; the log is too long to search all of it here";
  return table(caption, [
    ["at", (r) => time(r.at)],
    ["event", (r) => (r.verdict ? verdict(r.verdict) : r.event)],
    ["was", (r) => r.was],
    ["host", (r) => hostName(r.host)],
    ["neighbor", (r) => r.neighbor],
    ["AS path", (r) => r.as_path],
    ["why", (r) => why(r), "wide"],
    ["truth", (r) => r.truth?.revision || r.truth?.sha256?.slice(0, 12)],
  ], [...story.audit].reverse()).element;
}
