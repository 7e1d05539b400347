// The picture: data sources above, every host one cell, routers beside them. Cells are drawn on a
// canvas: 8,000 elements would take longer to lay out than the filter takes to change them.

import { get } from "/static/api.js";
import { ago, h, neighborLink, number, plural } from "/static/dom.js";
import { stateText } from "/static/neighbors.js";
import { LABELS, STATES, cacheProblems, nameOf, stateOf } from "/static/state.js";

const LISTED = 200; // cells that the list names
const GAP = 2;

// State: its sign in a cell that has room for one, so that no state is known by its colour alone.
const SIGNS = { up: "", expected: "…", silent: "−", rejecting: "!", stale: "~", down: "×", absent: "?" };
const SELDOM = ["expected", "silent"]; // the legend has them when there are some

export function picture(place, _where, live) {
  const sources = h("div", { class: "sources" });
  const groups = h("div", { class: "groups" });
  const routers = h("div", { class: "routers" });
  const legend = h("ul", { class: "legend" });
  const list = h("ul", { class: "cells" });
  const hint = h("p", { class: "hint", role: "status" });
  const drawn = new Map(); // by group
  place.append(h("h2", {}, "Picture"), sources, legend,
    h("div", { class: "picture" }, groups, h("section", { "aria-label": "Routers" }, h("h3", {}, "Routers"), routers)),
    hint, h("h3", {}, "Hosts that need attention"), list);
  let all = [];
  const draw = () => {
    const hosts = hostsOf(all.filter((n) => n.role !== "router"));
    drawGroups(groups, drawn, hosts, hint);
    legend.replaceChildren(...counts(hosts));
    routers.replaceChildren(...all.filter((n) => n.role === "router").map(routerItem));
    list.replaceChildren(...attention(hosts));
  };
  const drawSources = () => live.status && sources.replaceChildren(...sourceItems(live.status));
  drawSources();
  const observer = new ResizeObserver(() => drawn.forEach((cells) => cells.draw()));
  observer.observe(groups);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => drawn.forEach((cells) => cells.draw());
  dark.addEventListener("change", redraw);
  return {
    title: "Picture",
    onStatus: drawSources,
    onEvent(kind, event) { // at once: the list of 8,000 neighbors is read more seldom
      if (kind !== "session") return;
      const known = all.find((n) => n.neighbor === event.neighbor);
      if (!known) return;
      known.is_up = event.event === "session_up";
      if (known.is_up) known.state = "up";
      else if (known.state !== "absent") known.state = "down";
      draw();
    },
    async refresh() {
      all = (await get("neighbors")).neighbors;
      draw();
    },
    leave() {
      observer.disconnect();
      dark.removeEventListener("change", redraw);
    },
  };
}

// Every host with its sessions, by group. It is as well as the worst of them.
function hostsOf(sessions) {
  const byHost = Map.groupBy(sessions, (n) => (nameOf(n) ? `${n.group}\n${n.host}` : n.neighbor));
  return [...byHost.values()].map((of) => {
    const worst = of.reduce((one, other) => (rank(other) > rank(one) ? other : one));
    return { group: worst.group, sessions: of, worst, state: stateOf(worst) };
  });
}

function rank(session) {
  return STATES.indexOf(stateOf(session));
}

function drawGroups(place, drawn, hosts, hint) {
  const byGroup = Map.groupBy(hosts, (cell) => cell.group || "unknown neighbors");
  for (const [name, cells] of byGroup) {
    if (!drawn.has(name)) {
      drawn.set(name, new Cells(name, hint));
      place.append(drawn.get(name).element);
    }
    drawn.get(name).show(cells);
  }
  for (const [name, cells] of drawn) {
    if (byGroup.has(name)) continue;
    cells.element.remove();
    drawn.delete(name);
  }
}

class Cells {
  constructor(name, hint) {
    this.name = name;
    this.hint = hint;
    this.cells = [];
    this.heading = h("h3");
    this.canvas = h("canvas", { role: "img" });
    this.canvas.addEventListener("click", (event) => {
      const cell = this.at(event);
      if (cell) location.hash = `#/neighbor/${encodeURIComponent(cell.worst.neighbor)}`;
    });
    this.canvas.addEventListener("mousemove", (event) => {
      const cell = this.at(event);
      this.canvas.title = cell ? describe(cell) : "";
      this.hint.textContent = cell ? describe(cell) : "";
    });
    this.element = h("section", {}, this.heading, this.canvas);
  }

  show(cells) {
    this.cells = cells;
    const counted = countStates(cells);
    const summary = STATES.filter((state) => counted[state]).map((state) => `${number(counted[state])} ${LABELS[state] ?? state}`).join(", ");
    const sessions = cells.reduce((sum, cell) => sum + cell.sessions.length, 0);
    this.heading.textContent = `${this.name}: ${plural(cells.length, "host")}${sessions > cells.length ? `, ${number(sessions)} sessions` : ""}`;
    this.canvas.setAttribute("aria-label", `${this.name}: ${summary}`);
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    this.size = sizeOf(this.cells.length);
    this.columns = Math.max(1, Math.floor(width / this.size));
    const rows = Math.ceil(this.cells.length / this.columns);
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = rows * this.size * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${rows * this.size}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `bold ${this.size - GAP - 3}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const colours = coloursOf(this.canvas);
    this.cells.forEach((cell, at) => this.drawCell(pen, colours, cell.state, at));
  }

  drawCell(pen, colours, state, at) {
    const side = this.size - GAP;
    const x = (at % this.columns) * this.size;
    const y = Math.floor(at / this.columns) * this.size;
    pen.fillStyle = colours[state];
    pen.fillRect(x, y, side, side);
    if (!SIGNS[state] || side < 9) return;
    pen.fillStyle = colours.ground;
    pen.fillText(SIGNS[state], x + side / 2, y + side / 2 + 1);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.size);
    const row = Math.floor((event.clientY - box.top) / this.size);
    return column < this.columns ? this.cells[row * this.columns + column] : undefined;
  }
}

// Pixels of a cell with its gap: 8,000 of them fill about one screen.
function sizeOf(count) {
  if (count <= 200) return 26;
  return count <= 1500 ? 18 : 12;
}

function coloursOf(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    up: value("good"), silent: value("held"), rejecting: value("held"), stale: value("stale"), down: value("bad"), absent: value("absent"),
    expected: value("faint"), ground: value("ground"),
  };
}

function countStates(cells) {
  const counted = {};
  for (const { state } of cells) counted[state] = (counted[state] ?? 0) + 1;
  return counted;
}

function counts(hosts) {
  const counted = countStates(hosts);
  return STATES.filter((state) => counted[state] || !SELDOM.includes(state)).map((state) =>
    h("li", {}, h("span", { class: `key ${state}`, "aria-hidden": "true" }, SIGNS[state]),
      h("a", { href: `#/neighbors?state=${state}` }, `${LABELS[state] ?? state}: ${number(counted[state] ?? 0)}`)));
}

function describe({ worst, sessions }) {
  const each = sessions.map((n) => {
    const { accepted, rejected } = n.routes;
    return `${n.neighbor}: ${LABELS[stateOf(n)] ?? stateOf(n)}; ${number(accepted)} accepted, ${number(rejected)} rejected`;
  });
  return `${nameOf(worst) ? `${worst.host}, ` : ""}AS${worst.asn}, ${each.join(" · ")}`;
}

function attention(hosts) {
  const found = hosts.filter((cell) => cell.state !== "up").sort((one, other) => rank(other.worst) - rank(one.worst));
  if (!found.length) return [h("li", { class: "good" }, "None.")];
  const items = found.slice(0, LISTED).map(({ worst }) => h("li", {}, neighborLink(worst.neighbor, nameOf(worst) || worst.neighbor), " ", stateText(worst)));
  if (found.length > LISTED) items.push(h("li", {}, h("a", { href: "#/neighbors?sort=state" }, `and ${number(found.length - LISTED)} more`)));
  return items;
}

function routerItem(router) {
  return h("div", { class: `node ${stateOf(router)}` }, neighborLink(router.neighbor), " ", stateText(router),
    h("div", { class: "faint" }, `${router.group}, ${plural(router.router?.told ?? 0, "prefix", "prefixes")} sent`));
}

function sourceItems(status) {
  const items = [];
  if (status.truth) {
    const found = status.truth.in_force;
    items.push(source("truth", found ? found.revision || found.sha256.slice(0, 12) : "none", !found || status.truth.is_old || status.truth.problems.length > 0,
      found ? plural(found.vrps, "VRP") : ""));
  }
  for (const cache of status.rtr?.caches ?? []) {
    const age = cache.age_s === null ? "never confirmed" : `confirmed ${ago(new Date(Date.now() - 1000 * cache.age_s).toISOString())}`;
    items.push(source(`RTR ${cache.address}`, cache.decides ? "in use" : "standby", cacheProblems(cache).length > 0, `${plural(cache.vrps, "VRP")}, ${age}`));
  }
  return items;
}

function source(name, state, isBad, more) {
  return h("div", { class: `node ${isBad ? "down" : "up"}` }, h("strong", {}, name), ` ${state}`,
    isBad ? h("strong", { class: "bad" }, " needs attention") : "", h("div", { class: "faint" }, more));
}
