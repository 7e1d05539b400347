// Tables that are kept current: a row that did not change stays the element that it was, so that
// neither the focus nor a selection is lost.

import { h } from "/static/dom.js";

// columns: [{ name, cell: row => text or elements, kind?: class, by?: row => what to sort by }]
// options: key: row => unique text; sorting: { name, isDown, go(name) }; file: name of a CSV file
export function table(caption, columns, { key = (_row, at) => at, sorting = null, file = "" } = {}) {
  const body = h("tbody");
  const label = h("span", {}, caption);
  let shown = new Map();
  let rows = [];

  function set(wanted, newCaption) {
    if (newCaption !== undefined) label.textContent = newCaption;
    rows = sorted(wanted, columns, sorting);
    const next = new Map();
    const focus = placeOfFocus(body);
    rows.forEach((row, at) => {
      const id = String(key(row, at));
      const content = JSON.stringify(row);
      const old = shown.get(id);
      next.set(id, old?.content === content ? old : { content, element: rowElement(columns, row, id) });
    });
    const elements = [...next.values()].map((each) => each.element);
    if (elements.length !== body.children.length || elements.some((each, at) => body.children[at] !== each)) {
      body.replaceChildren(...elements);
      restore(body, focus);
    }
    shown = next;
  }

  const tools = file ? h("span", { class: "tools" },
    h("button", { type: "button", class: "small", onclick: (event) => copy(event.target, lines(columns, rows, "\t")) }, "Copy"),
    h("button", { type: "button", class: "small", onclick: () => save(file, lines(columns, rows, ",")) }, "CSV")) : [];
  const isList = columns.every((column) => column.kind !== "wide"); // all columns share the width
  const element = h("div", { class: "scroll" },
    h("table", { class: isList ? "list" : null }, h("caption", {}, label, tools),
      h("thead", {}, h("tr", {}, columns.map((column) => heading(column, sorting)))), body));
  return { element, set, rows: () => rows };
}

// A table that is drawn once.
export function facts(caption, columns, rows, options) {
  const made = table(caption, columns, options);
  made.set(rows);
  return made.element;
}

function heading({ name, kind, by }, sorting) {
  if (!sorting || !by) return h("th", { scope: "col", class: kind }, name);
  const isSorted = sorting.name === name;
  return h("th", { scope: "col", class: kind, "aria-sort": isSorted ? (sorting.isDown ? "descending" : "ascending") : null },
    h("button", { type: "button", class: "sort", onclick: () => sorting.go(name) }, name,
      h("span", { "aria-hidden": "true" }, isSorted ? (sorting.isDown ? " ▾" : " ▴") : " ")));
}

function sorted(rows, columns, sorting) {
  const by = sorting && columns.find((column) => column.name === sorting.name)?.by;
  if (!by) return rows;
  const sign = sorting.isDown ? -1 : 1;
  return [...rows].sort((one, other) => sign * compare(by(one), by(other)));
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one ?? "").localeCompare(String(other ?? ""), "en", { numeric: true });
}

function rowElement(columns, row, id) {
  const cells = columns.map(({ name, cell, kind }) => {
    const content = cell(row);
    // The heading again: a narrow window shows it before the value.
    return h("td", { class: kind, "data-name": name || null }, content === null || content === undefined ? "" : content);
  });
  return h("tr", { "data-key": id }, cells);
}

function placeOfFocus(body) {
  const focused = document.activeElement;
  const row = body.contains(focused) ? focused.closest("tr") : null;
  return row && { id: row.dataset.key, cell: [...row.children].indexOf(focused.closest("td")) };
}

function restore(body, focus) {
  if (!focus) return;
  const row = [...body.children].find((each) => each.dataset.key === focus.id);
  row?.children[focus.cell]?.querySelector("a, button")?.focus();
}

// Files ------------------------------------------------------------------------------------------

export function lines(columns, rows, separator) {
  const named = columns.filter((column) => column.name);
  const plain = (cell) => h("span", {}, cell === null || cell === undefined ? "" : cell).textContent;
  const all = [named.map((column) => column.name), ...rows.map((row) =>
    named.map((column) => (column.text ? String(column.text(row) ?? "") : plain(column.cell(row)))))];
  return all.map((row) => row.map((value) => quoted(value, separator)).join(separator)).join("\r\n");
}

// A spreadsheet takes a value that begins like this for a formula.
function quoted(value, separator) {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return safe.includes(separator) || /["\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function save(name, content) {
  const url = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export async function copy(button, content) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(content);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 2000);
}
