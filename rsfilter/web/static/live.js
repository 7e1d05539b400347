// The connection to the filter: its status every two seconds, its events as they happen, and
// whether it answers at all.

import { get, PATIENCE_MS } from "/static/api.js";

const POLL_MS = 2000;
const TICK_MS = 500;
const REOPEN_MS = 5000;
const KINDS = ["verdict", "session", "absence", "data", "guard", "drain", "service"];
const RECENT = 200;

export const live = {
  status: null,
  answered: null, // Date of the last answer
  isLost: false,
  recent: [], // events, newest first
  followers: new Set(),
  follow(callback) {
    this.followers.add(callback);
    return () => this.followers.delete(callback);
  },
  notify(kind, event) {
    for (const follower of this.followers) follower(kind, event);
  },
};

let asked = null; // performance.now() of the request under way
let timer = 0;

export function start() {
  poll();
  listen();
  setInterval(judge, TICK_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    clearTimeout(timer);
    if (asked === null) poll();
    listen();
  });
}

async function poll() {
  asked = performance.now();
  try {
    live.status = await get("status");
    live.answered = new Date();
    setLost(false);
    live.notify("status", live.status);
  } catch (error) {
    setLost(true, error.message);
  }
  asked = null;
  timer = setTimeout(poll, POLL_MS);
}

// A request that waits counts from the answer before it. Timers of a hidden tab come late, so the
// age of the last answer alone proves nothing.
function judge() {
  if (asked !== null && performance.now() - asked >= PATIENCE_MS - POLL_MS) setLost(true);
  live.notify("tick", null);
}

function setLost(isLost) {
  if (live.isLost === isLost) return;
  live.isLost = isLost;
  live.notify("connection", isLost);
}

let source = null;

// A browser has six connections to a server, for all tabs: a hidden tab keeps none of them.
function listen() {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource("/api/v1/events");
  for (const kind of KINDS) {
    source.addEventListener(kind, (message) => {
      const event = JSON.parse(message.data);
      live.recent.unshift({ kind, ...event });
      live.recent.length = Math.min(live.recent.length, RECENT);
      live.notify(kind, event);
    });
  }
  source.addEventListener("dropped", () => live.notify("missed", null));
  source.onopen = () => live.notify("missed", null);
  source.onerror = () => source.readyState === EventSource.CLOSED && setTimeout(listen, REOPEN_MS);
}

document.addEventListener("visibilitychange", () => document.hidden && source?.close());
