// Routes that the guard holds: what triggered it, what a release would withdraw, and the release.

import { get, post } from "/static/api.js";
import { field, h, instant, number, plural, problem } from "/static/dom.js";
import { ROUTE_COLUMNS, routeKey } from "/static/routes.js";
import { table } from "/static/table.js";

const SHOWN = 1000;

export function guard(place, _where, live) {
  const limits = h("p");
  const trigger = h("div");
  const list = table("", ROUTE_COLUMNS, { key: routeKey, file: "held.csv" });
  const release = releaseForm();
  place.append(h("h2", {}, "Guard"), limits, trigger, list.element, release.element);
  return {
    title: "Guard",
    wants: (kind) => kind !== "session",
    async refresh() {
      const [status, page, { records }] = await Promise.all([
        get("status"), get("routes", { verdict: "held", limit: SHOWN }), get("audit", { event: "guard", limit: 20 }),
      ]);
      live.status = status;
      const { held, max_loss_percent: percent, min_loss: least } = status.guard;
      limits.replaceChildren(`The guard holds the losses of a change of data that would withdraw more than ${percent} % of the accepted routes, and at least ${plural(least, "route")}. Held routes stay at the routers.`);
      trigger.replaceChildren(...(held ? cause(records) : [h("p", { class: "good" }, "The guard holds nothing.")]));
      list.element.hidden = !held;
      list.set(page.routes, held > page.routes.length ? `the first ${number(page.routes.length)} of ${number(held)} held routes` : plural(held, "held route"));
      release.offer(held);
    },
  };
}

function cause(records) {
  const last = records.filter((r) => r.data?.action === "held").at(-1);
  if (!last) return [h("p", {}, "It was triggered before the records that the audit log still has.")];
  const truth = last.truth ? `truth ${last.truth.revision || last.truth.sha256.slice(0, 12)}` : "";
  const before = last.data.before?.truth ?? null;
  return [h("p", {}, h("strong", { class: "held" }, `Triggered by ${{ truth: "a change of truth", rtr: "a change of RTR data" }[last.data.source] ?? last.data.source}`),
    " at ", instant(last.at), truth ? ` (${before ? `${before.revision || before.sha256?.slice(0, 12)} → ` : ""}${truth})` : "",
    `: it would have withdrawn ${number(last.data.routes)} of ${plural(last.data.accepted, "accepted route")}.`, last.data.detail ? ` ${last.data.detail}.` : ""),
  h("p", {}, "Correct the data and the hold ends by itself. Release the routes only if the loss is intended: a release withdraws them from all routers.")];
}

// The phrase has the number of routes in it, so that nobody confirms another number than is shown.
function releaseForm() {
  const token = h("input", { type: "password", name: "token", autocomplete: "off", required: true });
  const typed = h("input", { name: "phrase", autocomplete: "off", size: 26, required: true, spellcheck: "false" });
  const phrase = h("strong", { class: "mono" });
  const button = h("button", { class: "danger", disabled: true }, "Withdraw");
  const result = h("div", { "aria-live": "polite" });
  const form = h("form", { class: "filters", "aria-label": "Release" },
    h("p", { class: "whole" }, "To withdraw these routes from all routers, type ", phrase, "."),
    field("confirmation", typed), field("token ([http] token_file)", token), button);
  let wanted = "";
  const check = () => (button.disabled = typed.value.trim() !== wanted);
  typed.addEventListener("input", check);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { released } = await post("guard/release", null, token.value);
      result.replaceChildren(h("p", { role: "status" }, `Released: ${plural(released, "route")} withdrawn from all routers.`));
      typed.value = "";
      check();
    } catch (error) {
      result.replaceChildren(problem(error.message));
    }
  });
  const offer = (held) => {
    form.hidden = !held;
    wanted = `withdraw ${plural(held, "route").replace(",", "")}`;
    phrase.textContent = wanted;
    check();
  };
  offer(0);
  return { element: h("div", {}, form, result), offer };
}
