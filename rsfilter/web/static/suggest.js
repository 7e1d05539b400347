// Fields that offer what is there, and still take what is typed. The list comes when it is needed:
// a page with 8,000 hosts does not fetch them for a form that nobody touches.

import { get } from "/static/api.js";
import { field, h, text } from "/static/dom.js";

const MOST = 2000; // a browser draws no longer list at once
const ORDER = new Intl.Collator("en", { numeric: true });

export function hostField(query, name = "host", label = "host") {
  return suggesting(query, name, label, 14, (n) => [n.host, ""]);
}

export function neighborField(query) {
  return suggesting(query, "neighbor", "neighbor", 18, (n) => [n.neighbor, n.host]);
}

function suggesting(query, name, label, size, option) {
  const list = h("datalist", { id: `known-${name}` });
  const input = text(name, query, size, "", { list: list.id });
  input.addEventListener("focus", async () => {
    const { neighbors } = await get("neighbors").catch(() => ({ neighbors: [] }));
    const known = new Map(neighbors.filter((n) => n.role !== "router").map(option).filter(([value]) => value));
    const values = [...known.keys()].sort(ORDER.compare).slice(0, MOST);
    list.replaceChildren(...values.map((value) => h("option", { value, label: known.get(value) || null })));
  });
  return field(label, [input, list]);
}
