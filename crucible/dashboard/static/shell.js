// The head of every page, and the view that its address names.
import { ago, byId, el, link, profit } from "/static/dom.js";
import { isFresh, onDigest, start, state } from "/static/live.js";
import { steer } from "/static/steer.js";

const VIEWS = {
  "/": "overview", "/market": "market", "/agents": "agents", "/population": "population",
  "/forge-runs": "forge", "/execution": "execution", "/events": "events",
};
// What may be sent stands first, and is never older than the server's last word.
function head() {
  const fresh = isFresh();
  const trading = fresh && state.trading ? state.trading : {
    state: "UNKNOWN",
    text: [state.trouble ? `UNKNOWN: ${state.trouble}` : "UNKNOWN: this page gets no answer; ask in a terminal: crucible status"],
  };
  const pill = byId("trading");
  if (pill.textContent !== trading.state) { pill.textContent = trading.state; pill.className = `pill ${trading.state}`; }
  const waiting = state.heard < state.opened && Date.now() - state.opened < 3500;
  const banner = byId("banner");
  const held = !waiting && (trading.state !== "ACTIVE" || trading.why || trading.text.length > 1);
  const lines = held ? trading.text : [];
  const told = JSON.stringify([trading.state, lines]);
  if (banner.dataset.told !== told) {
    banner.dataset.told = told;
    banner.hidden = !held;
    banner.className = trading.state === "ACTIVE" ? "REDUCE_ONLY" : trading.state;
    banner.replaceChildren(...lines.map((line) => el("p", {}, line)));
  }
  byId("market").textContent = state.market ?? "";
  byId("age").textContent = state.heard === 0 ? "" : !fresh ? `as it was ${ago((Date.now() - state.heard) / 1000)}`
    : state.arena_age_s === null ? "no arena has shown anything yet" : `arena ${ago(state.arena_age_s)}`;
  if (state.today !== undefined) byId("today").replaceChildren("closed today ", profit(state.today, { arrow: true }), " USDT");
  const down = fresh ? (state.services ?? []).filter((service) => service[1] !== "up") : [];
  const text = down.map(([name, what]) => `${name} ${what}`).join(", ");
  const place = byId("down");
  if (place.textContent !== (text && `✖ ${text}`)) { place.textContent = text && `✖ ${text}`; place.className = "minus figure"; }
  const placebos = byId("placebos");
  const sentence = fresh ? state.placebos ?? "" : "";
  if (placebos.textContent !== sentence) {
    placebos.textContent = sentence;
    placebos.className = sentence.startsWith("ALARM") ? "alarm" : "";
  }
  placebos.hidden = !sentence.startsWith("ALARM") && document.body.dataset.view !== "/population";
  const stale = byId("stale");
  const trouble = state.failed && fresh ? `not refreshed: ${state.failed}` : "";
  if (stale.textContent !== trouble) { stale.textContent = trouble; stale.hidden = !trouble; }
}
byId("pages").append(
  link("/forgings", "Forgings", "forge runs in MLflow"), link("/models", "Models", "versions in MLflow"));
// The kill is always there: what is halted may still hold positions.
byId("stop").addEventListener("click", () => steer("kill"));
byId("resume").addEventListener("click", () => steer("resume"));
onDigest(() => {
  head();
  byId("resume").hidden = !(isFresh() && ["HALTED", "REDUCE_ONLY"].includes(state.trading?.state));
});
start();
head();
const shown = location.pathname.startsWith("/agents/") ? "agent" : VIEWS[document.body.dataset.view];
const module = await import(`/static/view-${shown}.js`);
await module.show(byId("view"));
