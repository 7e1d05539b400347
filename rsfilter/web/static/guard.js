// Routes that the guard holds: what triggered it, what a release would withdraw, and the release.

import { get, post } from "/static/api.js";
import { choice, conditions, field, h, instant, number, plural, problem, text } from "/static/dom.js";
import { offer, ROUTE_COLUMNS, routeKey } from "/static/routes.js";
import { table } from "/static/table.js";

const SHOWN = 1000;

export function guard(place, { query }, live) {
  const scope = { host: query.get("host") ?? "", prefix: query.get("prefix") ?? "" };
  const host = choice("host", [], scope.host);
  const choose = conditions("guard", [field("host", host), field("prefix", text("prefix", query, 22, "203.0.113.0/28"))], "Choose");
  const limits = h("p");
  const trigger = h("div");
  const list = table("", ROUTE_COLUMNS, { key: routeKey, file: "held.csv" });
  const release = releaseForm(choose);
  place.append(h("h2", {}, "Guard"), limits, trigger, list.element, release.element);
  const inScope = Object.fromEntries(Object.entries(scope).filter(([, value]) => value));
  let known = null;
  return {
    title: "Guard",
    wants: (kind) => kind !== "session",
    async refresh() {
      const [status, page] = await Promise.all([
        get("status"), get("routes", { verdict: "held", limit: SHOWN, ...inScope, ...(scope.prefix && { match: "covered" }) }),
      ]);
      live.status = status;
      const { held, max_loss_percent: percent, min_loss: least } = status.guard;
      limits.replaceChildren(`The guard holds the losses of a change of data that would withdraw more than ${percent} % of the accepted routes, and at least ${plural(least, "route")}. Held routes stay at the routers.`);
      list.element.hidden = !held;
      offer(host, [...new Set(page.routes.map((r) => r.host))]);
      const isPartial = Object.keys(inScope).length > 0;
      const chosen = isPartial ? page.routes.length : held;
      list.set(page.routes, page.next ? `the first ${number(SHOWN)} of ${number(held)} held routes` : isPartial ? `${number(chosen)} of ${plural(held, "held route")}` : plural(held, "held route"));
      release.offer(held, page.next && isPartial ? null : chosen, inScope);
      if (held !== known) trigger.replaceChildren(...(held ? await cause() : [h("p", { class: "good" }, "The guard holds nothing.")]));
      known = held; // a search of the audit log costs more than all the rest
    },
  };
}

async function cause() {
  const { records } = await get("audit", { event: "guard", limit: 20 });
  const { records: data } = await get("audit", { event: "data", limit: 50 });
  const last = records.filter((r) => r.data?.action === "held").at(-1);
  if (!last) return [h("p", {}, "The trigger is older than the oldest record of the audit log.")];
  const before = data.findLast((r) => r.at < last.at && JSON.stringify(dataOf(r)) !== JSON.stringify(dataOf(last)));
  return [h("p", {}, h("strong", { class: "held" }, `Triggered by ${{ truth: "a change of truth", rtr: "a change of RTR data" }[last.data.source] ?? last.data.source}`),
    " at ", instant(last.at), `: it would have withdrawn ${number(last.data.routes)} of ${plural(last.data.accepted, "accepted route")}.`),
  h("p", {}, `Data before: ${before ? dataOf(before).join(", ") : "not in the latest records"}. New data: ${dataOf(last).join(", ")}${last.data.detail ? ` (${last.data.detail})` : ""}.`),
  h("p", {}, "Correct the data and the hold ends by itself. Release the routes only if the loss is intended: a release withdraws them from all routers.")];
}

// The data that a record names: truth by revision and hash, RTR by cache and serial.
function dataOf({ truth, rtr }) {
  return [truth && `truth ${truth.revision || "unnamed"} ${truth.sha256.slice(0, 12)}`, rtr && `RTR ${rtr.cache} serial ${rtr.serial}`].filter(Boolean);
}

// The phrase has the number of routes in it, so that nobody confirms another number than is shown.
function releaseForm(choose) {
  const token = h("input", { type: "password", name: "token", autocomplete: "off", required: true });
  const typed = h("input", { name: "phrase", autocomplete: "off", size: 26, required: true, spellcheck: "false" });
  const phrase = h("strong", { class: "mono" });
  const button = h("button", { class: "danger", disabled: true }, "Withdraw");
  const result = h("div", { "aria-live": "polite" });
  const order = h("p", { class: "whole" });
  const form = h("form", { class: "filters", "aria-label": "Release" }, order,
    field("confirmation", typed), field("token ([http] token_file)", token), button);
  let wanted = "";
  let scope = {};
  const check = () => (button.disabled = typed.value.trim() !== wanted);
  typed.addEventListener("input", check);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { released } = await post("guard/release", JSON.stringify(scope), token.value);
      result.replaceChildren(h("p", { role: "status" }, `Released: ${plural(released, "route")} withdrawn from all routers.`));
      typed.value = "";
      check();
    } catch (error) {
      result.replaceChildren(problem(error.message));
    }
  });
  // count: null for more than the table shows
  const show = (held, count, given) => {
    choose.hidden = !held;
    form.hidden = !held || count === 0;
    scope = given;
    const these = Object.values(given).join(" inside ");
    wanted = count === null ? `withdraw ${these}` : `withdraw ${count} ${count === 1 ? "route" : "routes"}`;
    phrase.textContent = wanted;
    order.replaceChildren(`To withdraw ${these ? `the held routes of ${these}` : "all held routes"} from all routers, type `, phrase, ".");
    check();
  };
  show(0, 0, {});
  return { element: h("div", {}, h("h3", {}, "Release"), choose, form, result), offer: show };
}
