// What a change of data would have lost and the guard holds; and how to let go of it.

import { post } from "/static/api.js";
import { field, h, problem } from "/static/dom.js";
import { listing } from "/static/routes.js";

export async function guard(place, _where, live) {
  place.append(h("h2", {}, "Guard"));
  const limits = live.status?.guard;
  place.append(h("p", {}, limits
    ? `A change of data that would lose more than ${limits.max_loss_percent} % of the accepted routes, and at least ${limits.min_loss}, is held: these routes stay at the routers. `
    : "", "Put the data right and it ends by itself, or let go if the change is meant."));
  const held = await listing(place, { verdict: "held" }, "routes that are held");
  if (!held) return;
  const token = h("input", { type: "password", autocomplete: "off", required: true });
  const said = h("div");
  const form = h("form", { class: "filters" }, field("token ([http] token_file)", token),
    h("button", { class: "danger" }, "Let go of all of them"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await post("guard/release", null, token.value);
      said.replaceChildren(h("p", { role: "status" }, `${answer.released} routes were let go.`));
      form.remove();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  });
  place.append(form, said);
}
