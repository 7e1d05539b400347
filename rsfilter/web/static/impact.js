// Which live routes would flip under a truth file that is dropped here. Nothing changes.

import { post } from "/static/api.js";
import { field, h, hostName, number, problem, routeLink, table, verdict } from "/static/dom.js";

export function impact(place) {
  const input = h("input", { type: "file", accept: ".json,application/json", class: "hidden", id: "file" });
  const drop = h("label", { class: "drop", for: "file" },
    "Drop a truth file here, or choose one. It is judged against the routes that are live now; nothing changes.");
  const found = h("div", { "aria-live": "polite" });
  const token = h("input", { type: "password", autocomplete: "off" });
  input.addEventListener("change", () => {
    if (input.files.length) judge(input.files[0], token.value, found);
    input.value = ""; // the same name again is another file
  });
  for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", isOver);
    });
  }
  drop.addEventListener("drop", (event) => event.dataTransfer.files.length && judge(event.dataTransfer.files[0], token.value, found));
  const needsToken = !["localhost", "[::1]"].includes(location.hostname) && !location.hostname.startsWith("127.");
  place.append(h("h2", {}, "Impact of another truth"), input, drop,
    ...(needsToken ? [h("div", { class: "filters" }, field("token ([http] token_file)", token))] : []), found);
}

async function judge(file, token, place) {
  place.replaceChildren(h("p", {}, `judging by ${file.name} …`));
  try {
    place.replaceChildren(...result(file, await post("impact", file, token)));
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

function result(file, found) {
  const reasons = Object.entries(found.lost_by_reason).map(([name, count]) => `${number(count)} ${name}`);
  const parts = [
    h("h2", {}, file.name),
    h("p", {},
      h("strong", { class: found.lost ? "bad" : "good" }, `${number(found.lost)} lost`), ", ",
      h("strong", {}, `${number(found.gained)} gained`),
      ` of ${number(found.judged)} routes; routers have ${number(found.accepted_before)} and would have ${number(found.accepted_after)}. `,
      reasons.length ? `Lost: ${reasons.join(", ")}. ` : "",
      found.would_hold ? h("strong", { class: "held" }, "The guard would hold the losses.") : ""),
  ];
  if (found.flips.length) {
    parts.push(table(found.is_complete ? "" : `the first ${number(found.flips.length)}`, [
      ["prefix", (f) => routeLink(f.prefix)],
      ["neighbor", (f) => f.neighbor],
      ["host", (f) => hostName(f.host)],
      ["AS", (f) => f.asn, "number"],
      ["is", (f) => verdict(f.was)],
      ["would be", (f) => verdict(f.verdict)],
      ["why", (f) => [...f.reasons, ...f.vrps].join(", "), "wide"],
    ], found.flips).element);
  }
  return parts;
}
