// Builds elements. Everything that comes from the API is text: there is no innerHTML anywhere.

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

export function field(label, control, more = {}) {
  return h("label", more, label, control);
}

// none: what is shown for no choice
export function choice(name, options, value, none = "any") {
  const known = !value || options.includes(value) ? options : [...options, value];
  const items = ["", ...known].map((option) =>
    h("option", { value: option, selected: option === (value ?? "") }, option ? option.replaceAll("_", " ") : none));
  return h("select", { name }, items);
}

export function text(name, query, size, placeholder = "", more = {}) {
  return h("input", {
    name, size, placeholder, value: query.get(name) ?? "", spellcheck: "false", autocomplete: "off", ...more,
  });
}

// A form of conditions, which are the rest of the address: each can be linked to, and back works.
export function conditions(view, controls, submit, drop = () => false) {
  const form = h("form", { class: "filters", "aria-label": "Conditions" }, controls,
    submit ? h("button", {}, submit) : []);
  const go = () => {
    const given = [...new FormData(form)].map(([name, value]) => [name, value.trim()])
      .filter(([name, value]) => value && !drop(name, form));
    location.hash = `#/${view}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  for (const select of form.querySelectorAll("select")) select.addEventListener("change", go);
  return form;
}

export function problem(message) {
  return h("p", { class: "error", role: "alert" }, message);
}

export function number(value) {
  return value.toLocaleString("en");
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function clock(date) {
  return `${date.toISOString().slice(11, 19)}Z`;
}

// An instant in UTC, and how long ago that is, which goes on by itself.
export function time(at) {
  if (!at) return "";
  return [instant(at), " ", h("span", { class: "faint ago", "data-at": at }, ago(at))];
}

export function instant(at) {
  return h("time", { datetime: at }, `${at.slice(0, 10)} ${at.slice(11, 19)}Z`);
}

// The same without the instant, which the pointer shows.
export function since(at) {
  return at ? h("span", { class: "ago", "data-at": at, title: instant(at).textContent }, ago(at)) : "";
}

export function ago(at) {
  return `${duration((Date.now() - Date.parse(at)) / 1000)} ago`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  for (const [name, size] of units) if (whole >= 2 * size) return `${Math.floor(whole / size)} ${name}`;
  return `${whole} s`;
}

export function tick() {
  for (const each of document.querySelectorAll(".ago")) each.textContent = ago(each.dataset.at);
}

// An IPv6 address or a community breaks after a colon where a column is narrow, and nowhere else.
export function breakable(text) {
  return text.split(/(?<=:)/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
}

export function routeLink(prefix) {
  return prefix ? h("a", { class: "mono", href: `#/route/${encodeURIComponent(prefix)}` }, breakable(prefix)) : "";
}

export function neighborLink(address, label = address) {
  if (!address) return "";
  return h("a", { class: "host", title: label, href: `#/neighbor/${encodeURIComponent(address)}` }, breakable(label));
}

// A name may be long: the other columns stay in sight.
export function hostName(name) {
  return name ? h("span", { class: "host", title: name }, name) : "";
}

export function verdict(name) {
  return name ? h("span", { class: name }, name) : "";
}
