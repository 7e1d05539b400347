// Builds elements. Everything that comes from the API is text: there is no innerHTML anywhere.

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// columns: [[heading, row => cell, class?]]; a cell is text or elements.
export function table(caption, columns, rows) {
  const head = columns.map(([heading, , kind]) => h("th", { scope: "col", class: kind }, heading));
  const body = h("tbody");
  const add = (more) => body.append(...more.map((row) => tableRow(columns, row)));
  add(rows);
  const element = h("div", { class: "scroll" },
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, head)), body));
  return { element, add, body };
}

function tableRow(columns, row) {
  const cells = columns.map(([heading, cell, kind]) => {
    const content = cell(row);
    // The heading again: a narrow window shows it before the value.
    return h("td", { class: kind, "data-name": heading || null }, content === null || content === undefined ? "" : content);
  });
  return h("tr", {}, cells);
}

export function field(label, control) {
  return h("label", {}, label, control);
}

export function choice(name, options, value) {
  const items = ["", ...options].map((option) =>
    h("option", { value: option, selected: option === (value ?? "") }, option || "any"));
  return h("select", { name }, items);
}

export function problem(error) {
  return h("p", { class: "error", role: "alert" }, error.message);
}

export function number(value) {
  return value.toLocaleString("en");
}

export function time(text) {
  return text ? `${text.slice(0, 10)} ${text.slice(11, 19)}Z` : "";
}

export function routeLink(prefix) {
  return prefix ? h("a", { class: "mono", href: `#/route/${encodeURIComponent(prefix)}` }, prefix) : "";
}

// A name may be long: the other columns stay in sight.
export function hostName(name) {
  return name ? h("span", { class: "host", title: name }, name) : "";
}

export function verdict(name) {
  return name ? h("span", { class: name }, name) : "";
}
