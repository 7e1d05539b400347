// Audit records as sentences.

import { plural } from "/static/dom.js";

const VERDICTS = {
  announce: (r) => `${who(r)} announced it`,
  data: (r) => `other data came into force${data(r)}`,
  guard: () => "an operator released it from the guard",
  config: () => "another configuration came into force",
  max_prefixes: (r) => `${who(r)} has room under max_prefixes again, or none any more`,
  end_of_rib: (r) => `${who(r)} ended its table`,
  session_down: (r) => `the session of ${who(r)} went down`,
};

const GONE = {
  withdraw: (r) => `${who(r)} withdrew it`,
  session_down: (r) => `the session of ${who(r)} went down`,
  administrative: (r) => `${who(r)} shut its session down`,
  end_of_rib: (r) => `${who(r)} did not repeat it after its session returned`,
  stale_time: (r) => `${who(r)} did not return within stale_time`,
  config: () => "another configuration came into force",
};

const OTHERS = {
  session_up: (r) => `The session of ${who(r)} came up.`,
  session_down: (r) => `The session of ${who(r)} went down${r.data?.reason ? `: ${r.data.reason}` : ""}.`,
  absent: (r) => r.prefix ? `${who(r)} does not announce it, and truth expects it.` : `${who(r)} is expected by truth and absent.`,
  present: (r) => r.prefix ? `${who(r)} announces it: no longer absent.` : `${who(r)} is no longer absent.`,
  data: (r) => `${source(r)} changed${r.data?.detail ? `: ${r.data.detail}` : ""}. ${r.data?.added ?? 0} VRPs added, ${r.data?.removed ?? 0} removed; ${r.data?.flipped ?? 0} of ${r.data?.rejudged ?? 0} routes got another verdict.`,
  guard: (r) => `Guard ${r.data?.action ?? ""}${r.data?.routes ? ` ${plural(r.data.routes, "route")}` : ""}${r.data?.detail ? `: ${r.data.detail}` : ""}.`,
  drain: (r) => `${(r.data?.phase ?? "drain").replaceAll("_", " ")}${r.data?.detail ? `: ${r.data.detail}` : ""}.`,
  truth_refused: (r) => `A new truth was refused: ${(r.data?.problems ?? []).join("; ") || "no problem given"}. The active one stays in force.`,
  file: (r) => `The audit log continues in ${r.data?.file ?? "another file"}.`,
  start: () => "rsfilter started.",
  stop: () => "rsfilter stopped.",
};

export function sentence(record) {
  if (record.event === "verdict" && record.prefix) return decided(record);
  if (record.event === "verdict") return `${who(record)} announced what cannot be a route: ${because(record) || "rejected"}.`;
  if (record.event === "withdraw") return `Removed: ${(GONE[record.cause] ?? other)(record)}.`;
  return OTHERS[record.event]?.(record) ?? `${name(record.event)}${details(record)}.`;
}

function decided(record) {
  const stale = record.data?.stale;
  const was = record.was && record.was !== record.verdict ? ` (was ${record.was})` : "";
  const why = because(record);
  const kept = stale === true ? "; kept as stale" : stale === false ? "; no longer stale" : "";
  return `${capital(record.verdict)}${was}${why ? ` for ${why}` : ""}: ${(VERDICTS[record.cause] ?? other)(record)}${kept}.`;
}

function because(record) {
  return (record.reasons ?? []).join(", ");
}

function who({ host, neighbor }) {
  return host && host !== neighbor ? `${host} (${neighbor})` : neighbor ?? "a neighbor";
}

function other({ cause }) {
  return name(cause ?? "no cause given");
}

function data({ truth }) {
  return truth?.revision ? ` (truth ${truth.revision})` : "";
}

function source({ data }) {
  return { truth: "Truth", rtr: "RTR data" }[data?.source] ?? "Data";
}

function details({ data }) {
  const isText = (value) => value !== "" && value !== null && (typeof value !== "object" || Array.isArray(value) && value.length > 0);
  const given = Object.entries(data ?? {}).filter(([, value]) => isText(value));
  return given.length ? `: ${given.map(([key, value]) => `${name(key)} ${Array.isArray(value) ? value.join("; ") : value}`).join(", ")}` : "";
}

function name(text) {
  return capital(text.replaceAll("_", " "));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
