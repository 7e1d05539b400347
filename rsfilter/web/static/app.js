// One page: the part of its address after # is the view and its conditions.
// Keys: / finds, 1 to 9 change views.

import { audit } from "/static/audit.js";
import { h, clock, duration, plural, problem, tick } from "/static/dom.js";
import { find } from "/static/find.js";
import { fleet } from "/static/fleet.js";
import { guard } from "/static/guard.js";
import { impact } from "/static/impact.js";
import { live, start } from "/static/live.js";
import { neighbor } from "/static/neighbor.js";
import { neighbors } from "/static/neighbors.js";
import { overview } from "/static/overview.js";
import { picture } from "/static/picture.js";
import { plots } from "/static/plots.js";
import { Refresher } from "/static/refresher.js";
import { route } from "/static/route.js";
import { routes } from "/static/routes.js";
import { findings, worst } from "/static/state.js";

// Each view is (place, { rest, query }, live) -> { title, and what keeps it current: refresh();
// wants(kind, event): this event concerns it; every: ms between refreshes; leave() }.
const VIEWS = { "": overview, overview, picture, plots, neighbors, neighbor, routes, route, guard, impact, audit, fleet };

const SECTIONS = { overview: "", neighbor: "neighbors", route: "routes" }; // the tab of a view that has none

const element = (id) => document.getElementById(id);
const content = element("content");

let view = null; // what is shown: { name, title, refresher, leave }

// Views -------------------------------------------------------------------------------------------

function show() {
  const before = view;
  before?.refresher?.end();
  before?.leave?.();
  const { name, rest, query } = address();
  mark(SECTIONS[name] ?? name);
  const place = h("div", { "aria-busy": "true" });
  const trouble = h("div");
  const focused = before?.name === name ? document.activeElement?.name : null;
  content.replaceChildren(trouble, place);
  view = { name, title: "No such view" };
  if (Object.hasOwn(VIEWS, name)) Object.assign(view, VIEWS[name](place, { rest, query }, live));
  else place.append(...unknown(name));
  setTitle();
  if (view.refresh) {
    view.refresher = new Refresher(view.refresh, (error) => told(place, trouble, error), view.every);
    view.refresher.now();
  } else {
    place.removeAttribute("aria-busy");
    element("asof").replaceChildren();
  }
  if (focused) content.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  return before?.name !== name;
}

function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name, rest: decoded(rest.join("/")), query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unknown(name) {
  return [h("h2", {}, "No such view"),
    h("p", {}, `This page has no view "${name}". `, h("a", { href: "#/" }, "Go to Overview"), ".")];
}

function told(place, trouble, error) {
  place.removeAttribute("aria-busy");
  if (error === null) {
    trouble.replaceChildren();
    content.classList.remove("old");
    element("asof").replaceChildren("as of ", clock(new Date()));
  } else if (error.status !== 0 || !live.isLost) {
    content.classList.add("old"); // the rest is from before; the header reports a lost connection
    trouble.replaceChildren(problem(error.message));
  }
  setTitle();
}

function mark(section) {
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.getAttribute("href") === `#/${section}`;
    isHere ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
}

// Header ------------------------------------------------------------------------------------------

function setTitle() {
  const found = live.status ? findings(live.status) : [];
  const state = live.isLost ? "no answer" : found.length ? plural(found.length, "problem") : "";
  document.title = [state && `(${state})`, view?.title, ...identityOf(live.status)].filter(Boolean).join(" · ").replace(") ·", ")");
  const kind = live.isLost ? "lost" : live.status ? worst(found) : "lost";
  const icon = `/static/favicon-${kind}.svg`;
  if (element("icon").getAttribute("href") !== icon) element("icon").setAttribute("href", icon);
}

function nameOf(status) {
  return status ? status.name || status.router_id : "";
}

function identityOf(status) {
  return status ? [nameOf(status), `AS${status.asn}`, status.router_id, `rsfilter ${status.version}`] : ["rsfilter"];
}

function showStatus(status) {
  element("name").textContent = nameOf(status);
  element("identity").textContent = identityOf(status).slice(1).join(" · ");
  const found = findings(status);
  const words = [h("a", { class: `badge ${worst(found)}`, href: "#/" }, found.length ? plural(found.length, "problem") : "healthy")];
  if (status.drain.phase !== "in_service") words.push(" ", h("span", { class: "badge warning" }, status.drain.phase));
  if (status.guard.held) words.push(" ", h("a", { class: "badge held", href: "#/guard" }, `${status.guard.held} held`));
  const truth = status.truth?.in_force;
  if (truth) words.push(h("span", { class: "faint" }, ` truth ${truth.revision || truth.sha256.slice(0, 12)}`));
  const key = JSON.stringify([found.map((each) => each.title), status.drain.phase, status.guard.held, truth?.sha256]);
  document.querySelector('nav a[href="#/fleet"]').hidden = !status.fleet;
  if (key === showStatus.last) return; // a reader of screens hears changes only
  showStatus.last = key;
  element("state").replaceChildren(...words);
}

function showConnection() {
  document.body.classList.toggle("lost", live.isLost);
  element("lost").hidden = !live.isLost;
  if (live.isLost) element("lost-words").textContent = "No answer from the filter. The content may be out of date.";
  setTitle();
}

function showAge() {
  if (!live.isLost) return;
  element("lost-age").textContent = live.answered
    ? ` Last answer at ${clock(live.answered)}, ${duration((Date.now() - live.answered) / 1000)} ago.` : "";
}

live.follow((kind, event) => {
  if (kind === "tick") {
    showAge();
    tick();
  } else if (kind === "connection") {
    showConnection();
    if (!event) view?.refresher?.now();
  } else if (kind === "status") {
    showStatus(event);
    setTitle();
    view?.onStatus?.(event);
  } else if (kind === "missed" || view?.wants?.(kind, event) !== false) {
    view?.onEvent?.(kind, event);
    view?.refresher?.soon();
  }
});

// Input -------------------------------------------------------------------------------------------

element("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = element("find-text").value.trim();
  if (!wanted) return;
  try {
    location.hash = await find(wanted);
  } catch {
    // the header says that there is no answer
  }
});

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "/") {
    event.preventDefault();
    element("find-text").focus();
    element("find-text").select();
  } else if (/^[1-9]$/.test(event.key)) {
    document.querySelectorAll("nav a")[event.key - 1]?.click();
  }
});

window.addEventListener("hashchange", () => {
  if (show()) content.focus();
});

document.addEventListener("visibilitychange", () => document.hidden || view?.refresher?.now());

for (const kind of ["good", "warning", "bad", "lost"]) new Image().src = `/static/favicon-${kind}.svg`; // shown when nothing can be fetched

show();
start();
