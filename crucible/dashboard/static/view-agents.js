import { agentLink, ask, chip, el, money, number, panel, percent, place, profit, unknown, when } from "/static/dom.js";
import { refresh } from "/static/live.js";
import { sortable } from "/static/table.js";

const evidence = (value) => (value === null || value === undefined ? unknown("–") : el("span", { "data-value": value, title: value }, value < 0.01 || value >= 1000 ? value.toExponential(1) : value.toFixed(2)));
const RANK = ["production", "draining", "quarantined", "refused", "challenger", "placebo", "ended"];
const COLUMNS = [
  { name: "agent", key: "agent", show: (row) => agentLink(row.agent) },
  { name: "result", key: "result", kind: "n", show: (row) => profit(row.result) },
  { name: "state", key: "state", sort: (row) => -RANK.indexOf(row.state), show: (row) => el("span", {}, chip(row.state, row.state === "production" ? "plus" : "dim"), row.simulated ? el("span", { class: "dim small" }, " simulated") : "") },
  { name: "proof", key: "proof", show: (row) => chip(row.proof, row.proof === "unproven" ? "wait" : "plus") },
  { name: "net closed", key: "net", kind: "n", show: (row) => profit(row.net) },
  { name: "position", key: "position", kind: "n", show: (row) => number(row.position) },
  { name: "open", key: "open", kind: "n", show: (row) => (row.position === "0" ? unknown("–") : profit(row.open)) },
  { name: "trades", key: "trades", kind: "n" },
  { name: "earned", key: "wins", kind: "n", sort: (row) => (row.trades ? row.wins / row.trades : null), show: (row) => (row.trades ? `${(row.wins / row.trades * 100).toFixed(0)} %` : "–") },
  { name: "fees", key: "fees", kind: "n", show: (row) => money(row.fees) },
  { name: "gain", key: "gain_evidence", kind: "n", show: (row) => evidence(row.gain_evidence) },
  { name: "loss", key: "loss_evidence", kind: "n", show: (row) => evidence(row.loss_evidence) },
  { name: "drawdown", key: "drawdown", kind: "n", show: (row) => (row.drawdown === null || row.drawdown === undefined ? unknown("–") : percent(row.drawdown, 2, false)) },
  { name: "parity", key: "parity", kind: "n", show: (row) => (row.parity === null || row.parity === undefined ? unknown("–") : percent(row.parity, 1, false)) },
  { name: "since", key: "since_ts", kind: "n", show: (row) => when(row.since_ts, true) },
  { name: "last", key: "last_event", show: (row) => row.last_signal ?? (row.until_ts ? `ended ${when(row.until_ts, true)}` : "") },
];
const FILTERS = ["slot", "kind", "state", "proof"];

export async function show(view) {
  const grid = sortable("Agents", COLUMNS, { sort: "state", rowKind: (row) => (row.simulated ? "simulated" : null),
    nothing: () => (rows.length ? `none of ${rows.length} agents matches` : "nobody trades yet: an agent stands here once a forge run has found a version") });
  const chosen = Object.fromEntries(new URLSearchParams(location.search));
  const selects = Object.fromEntries(FILTERS.map((name) => [name, el("select", { id: `filter-${name}`, onchange: apply })]));
  const words = el("input", { type: "search", id: "filter-words", placeholder: "part of a name", value: chosen.words ?? "", oninput: apply });
  const everyone = el("input", { type: "checkbox", id: "filter-all", onchange: () => watch.now() });
  const heat = el("div"), note = el("p", { class: "dim small" });
  let rows = [];
  view.replaceChildren(el("h1", {}, "Agents"),
    el("div", { class: "panel" },
      el("div", { class: "row tools" }, el("label", {}, "find", words),
        FILTERS.map((name) => el("label", {}, name, selects[name])), el("label", { class: "end" }, everyone, "all that ever ended")),
      grid.node, note),
    panel("How much their results move together, last market week", "", heat));
  function apply() {
    const wanted = Object.fromEntries(FILTERS.map((name) => [name, selects[name].value]));
    const part = words.value.toLowerCase();
    const search = new URLSearchParams(Object.entries({ ...wanted, words: words.value }).filter(([, value]) => value));
    history.replaceState(null, "", search.size ? `?${search}` : location.pathname);
    grid.set(rows.filter((row) => FILTERS.every((name) => !wanted[name] || row[name] === wanted[name]) && (!part || String(row.agent).toLowerCase().includes(part))));
  }
  function options() {
    for (const name of FILTERS) {
      const values = [...new Set(rows.map((row) => row[name]).filter(Boolean))].sort();
      const held = selects[name].options.length ? selects[name].value : chosen[name] ?? "";
      if ([...selects[name].options].slice(1).map((each) => each.value).join() === values.join() && selects[name].options.length) continue;
      selects[name].replaceChildren(el("option", { value: "" }, "any"), ...values.map((value) => el("option", { value }, value)));
      selects[name].value = values.includes(held) ? held : "";
    }
  }
  const watch = refresh(async () => {
    const found = await ask(`/api/agents${everyone.checked ? "?all=1" : ""}`);
    rows = found.rows;
    note.textContent = "USDT. Figures in italics are simulated: none of it is at the venue. gain, loss: evidence, as the newest judgement has it."
      + (found.left_out ? ` ${found.left_out} that ended longer ago are left out.` : "");
    options();
    apply();
  }, 5000);
  refresh(async () => {
    const found = await ask("/api/correlations");
    const groups = found.groups.filter((group) => group.agents.length > 1);
    place(heat, groups.length ? groups.flatMap(drawHeat) : el("p", { class: "dim" }, "fewer than two agents trade side by side, at the venue or simulated"));
  }, 60000, ["changes"]);
}

const MODES = { live: "At the venue", shadow: "Simulated" };
function drawHeat(found) {
  const heads = el("tr", {}, el("td"), found.agents.map((_, place) => el("th", { scope: "col", title: found.agents[place] }, String(place + 1))));
  const rows = found.agents.map((name, row) => el("tr", {}, el("th", { class: "side", scope: "row" }, `${row + 1} `, agentLink(name)),
    found.agents.map((other, column) => {
      const value = found.matrix[row][column];
      const made = el("td", { title: `${name} and ${other}: ${found.changes[row][column]} quarters of an hour in common` }, row === column ? "" : value === null ? "–" : value.toFixed(2).replace("-", "−"));
      // Blue falls together with orange for everybody's eyes; the figure stands in each field as well.
      if (value !== null && row !== column) made.style.background = value >= 0 ? `rgba(224,138,30,${(Math.abs(value) * 0.45).toFixed(2)})` : `rgba(59,130,214,${(Math.abs(value) * 0.45).toFixed(2)})`;
      return made;
    })));
  const name = MODES[found.mode];
  return [el("h3", {}, name), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Correlations, ${name.toLowerCase()}` }, el("table", { class: "heat" }, el("thead", {}, heads), el("tbody", {}, rows))),
    el("p", { class: "dim small" }, `1: they rise and fall together (orange); −1: against each other (blue); –: too little in common.${found.left_out ? ` ${found.left_out} more agents are left out.` : ""}`)];
}
