// One page: the part after # says what is shown. Keys: / finds a prefix, 1 to 6 change pages.

import { get, listen } from "/static/api.js";
import { h, problem } from "/static/dom.js";
import { audit } from "/static/audit.js";
import { guard } from "/static/guard.js";
import { impact } from "/static/impact.js";
import { neighbors } from "/static/neighbors.js";
import { overview } from "/static/overview.js";
import { route } from "/static/route.js";
import { routes } from "/static/routes.js";

// Each is (content, rest of the address, live) -> nothing, or what to do when it is left.
const PAGES = { "": overview, neighbors, routes, route, guard, impact, audit };

const REFRESH_MS = 2000;

const content = document.getElementById("content");
const state = document.getElementById("state");
const find = document.getElementById("find-prefix");

// What every page may follow: the status as it was last read, and events as they come.
const live = {
  status: null,
  recent: [],
  followers: new Set(),
  follow(callback) {
    this.followers.add(callback);
    return () => this.followers.delete(callback);
  },
  tell(kind, event) {
    for (const follower of this.followers) follower(kind, event);
  },
};

let leave = null;
let shown = 0;

async function show() {
  leave?.();
  leave = null;
  const turn = ++shown;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.getAttribute("href") === `#/${name}`;
    isHere ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  const place = h("div");
  content.replaceChildren(place);
  try {
    const page = Object.hasOwn(PAGES, name) ? PAGES[name] : overview;
    const left = await page(place, { rest: rest.join("/"), query }, live);
    if (turn === shown) leave = left ?? null;
    else left?.();
  } catch (error) {
    place.append(problem(error));
  }
}

async function refresh() {
  try {
    live.status = await get("status");
    showState(live.status);
  } catch (error) {
    live.status = null;
    state.replaceChildren(h("span", { class: "badge bad" }, "no answer"), ` ${error.message}`);
  }
  live.tell("status", live.status);
  setTimeout(refresh, REFRESH_MS);
}

function showState(status) {
  const words = [badge(status.health)];
  if (status.drain.phase !== "in_service") {
    words.push(" ", h("span", { class: "badge warning" }, status.drain.phase));
  }
  if (status.guard.held) {
    words.push(" ", h("a", { class: "badge held", href: "#/guard" }, `${status.guard.held} held`));
  }
  const truth = status.truth?.in_force;
  if (truth) words.push(h("span", { class: "faint" }, ` truth ${truth.revision || truth.sha256.slice(0, 12)}`));
  state.replaceChildren(...words);
}

function badge({ status, warnings }) {
  if (status !== "ok") return h("span", { class: "badge bad" }, "NOT healthy");
  if (!warnings.length) return h("span", { class: "badge good" }, "healthy");
  const count = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  return h("span", { class: "badge warning" }, `healthy, ${count}`);
}

listen((kind, event) => {
  if (kind === null) return;
  live.recent.unshift({ kind, ...event });
  live.recent.length = Math.min(live.recent.length, 200);
  live.tell(kind, event);
});

document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = find.value.trim();
  if (!wanted) return;
  const isHostRoute = !wanted.includes("/") || /\/(32|128)$/.test(wanted);
  location.hash = isHostRoute
    ? `#/route/${encodeURIComponent(wanted)}`
    : `#/routes?prefix=${encodeURIComponent(wanted)}&match=covered`;
});

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "/") {
    event.preventDefault();
    find.focus();
    find.select();
  } else if (/^[1-6]$/.test(event.key)) {
    document.querySelectorAll("nav a")[event.key - 1].click();
  }
});

window.addEventListener("hashchange", () => {
  show();
  content.focus();
});
show();
refresh();
