import { ask, cell, chip, el, instant, link, money, number, pairs, panel, percent, place, profit, span, table, unknown, when } from "/static/dom.js";
import { chart, colour, draw } from "/static/chart.js";
import { refresh } from "/static/live.js";
import { steer } from "/static/steer.js";

export async function show(view) {
  const name = decodeURIComponent(location.pathname.slice("/agents/".length));
  const head = el("div"), cards = el("div", { class: "cards" });
  const equity = chart(`Equity of ${name} over market time`), fall = chart(`Drawdown of ${name} over market time`, "low");
  const evidence = chart(`Evidence about ${name} against its bounds over market time`);
  const evidenceNote = el("p", { class: "dim small" });
  const last = el("div"), rule = el("div"), lineage = el("div"), trades = el("div"), multipliers = el("div"), parity = el("div"), decisions = el("div");
  view.replaceChildren(head, cards,
    el("div", { class: "grid" },
      panel("Equity", "w8", equity), panel("Last decision", "w4", last, el("h3", {}, "What takes off the size of an entry now"), multipliers),
      panel("Evidence against its bounds", "w8", evidence, evidenceNote), panel("Drawdown", "w4", fall),
      panel("Its rule in words", "w7", rule), panel("From order to seed", "w5", lineage),
      panel("Trades", "w12", trades), panel("Does it do what its backtest does?", "w5", parity), panel("Newest decisions", "w7", decisions)));
  const held = { orders: [], version: null };
  const fromOrderToSeed = () => { if (held.version) drawVersion(rule, lineage, held.version, held.orders, name); };
  refresh(async () => {
    const found = await ask(`/api/agents/${encodeURIComponent(name)}`);
    drawHead(head, found);
    drawCards(cards, found);
    const undecided = found.kind === "placebo" ? "a placebo's decisions are drawn at random and not recorded; its trades are" : "it has decided nothing that is recorded yet";
    place(last, found.decisions.length ? el("p", {}, found.decisions[0].words) : el("p", { class: "dim" }, undecided),
      found.last_event ? el("p", { class: "dim" }, `now: ${found.last_signal ?? ""} · ${found.last_event}`) : "");
    drawMultipliers(multipliers, found.multipliers);
    drawTrades(trades, found);
    drawParity(parity, found);
    place(decisions, el("ul", { class: "plain small" }, found.decisions.slice(0, 20).map((row) => el("li", {}, row.words))),
      found.decisions.length ? "" : el("p", { class: "dim" }, undecided));
    if (held.orders.at(-1) !== found.orders.at(-1)) { held.orders = found.orders; fromOrderToSeed(); }
    // Figures first: a chart takes a moment.
    await drawCharts(found, equity, fall, evidence, evidenceNote);
  }, 3000);
  refresh(async () => { held.version = await ask(`/api/version?name=${encodeURIComponent(name)}`); fromOrderToSeed(); }, 15000, ["changes"]);
}

function drawHead(target, found) {
  const agent = found.agent, symbol = found.symbol;
  const order = (action, text, kind = null) => el("button", { type: "button", class: kind, "data-focus": action, onclick: () => steer(action, { agent, symbol: action === "close" ? symbol : null }) }, text);
  place(target, el("div", { class: "row" },
    el("h1", {}, agent), chip(found.state, found.state === "production" ? "plus" : "dim"), chip(found.proof, found.proof === "unproven" ? "wait" : "plus"),
    found.simulated ? chip("simulated", "wait", "none of this is at the venue") : "",
    el("span", { class: "dim" }, `${found.symbol} · ${found.kind} · since ${when(found.since_ts)}${found.until_ts ? ` until ${when(found.until_ts)}` : ""}`),
    found.simulated || found.until_ts ? "" : el("span", { class: "row end" }, order("halt", "Halt…"), order("resume", "Resume…"), order("close", "Close position…"), order("kill", "Kill…", "danger"))),
    found.cause_of_end ? el("p", {}, `Ended: ${found.cause_of_end}`) : "");
}
function card(name, value, note = "") {
  return el("div", { class: "card" }, el("div", { class: "name" }, name), el("div", { class: "value" }, value), el("div", { class: "note" }, note));
}
function drawCards(target, found) {
  const mark = found.simulated ? ", simulated" : "";
  place(target,
    card(`Result, open position included${mark}`, profit(found.result, { arrow: true }), "USDT"),
    card("Closed, after fees and funding", profit(found.net, { arrow: true }), `${found.trades} trades`),
    card("Fees", money(found.fees), "USDT"), card("Funding paid", money(found.funding, 4), "USDT"),
    card("Position", number(found.position), found.position === "0" ? "flat" : `${found.symbol.replace("USDT", "")}, stands at ${found.open === null ? "not known" : Number(found.open).toFixed(2)} USDT`),
    card("Trades that earned", found.trades ? `${(found.wins / found.trades * 100).toFixed(0)} %` : "–", `${found.wins} of ${found.trades}`));
}
async function drawCharts(found, equity, fall, evidence, note) {
  const x = found.equity.ts.map((ts) => new Date(ts));
  if (x.length) {
    await draw(equity, () => ({ traces: [
      { x, y: found.equity.equity.map(Number), name: found.simulated ? "equity, simulated" : "equity", mode: "lines", line: { color: colour("accent"), width: 2.2, dash: found.simulated ? "dot" : "solid" }, hovertemplate: "%{y:,.2f} USDT" }],
      layout: { yaxis: { tickformat: ",.2~f" }, showlegend: false } }));
    await draw(fall, () => ({ traces: [
      { x, y: found.equity.drawdown, name: "drawdown", mode: "lines", fill: "tozeroy", line: { color: colour("minus"), width: 1.4 }, hovertemplate: "%{y:.2%}" }],
      layout: { yaxis: { tickformat: ".1%" }, showlegend: false,
        shapes: found.bounds ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: -found.bounds.max_drawdown, y1: -found.bounds.max_drawdown, line: { color: colour("wait"), dash: "dash", width: 1.4 } }] : [],
        annotations: found.bounds ? [{ xref: "paper", x: 0, xanchor: "left", y: -found.bounds.max_drawdown, yanchor: "bottom", showarrow: false, text: "culled here", font: { size: 10, color: colour("wait") } }] : [] } }));
  }
  const judged = found.evidence, bounds = found.bounds;
  note.textContent = judged.length ? `Evidence is wealth of a bet that begins with 1; log scale. It decides from ${bounds?.minimum_trades ?? "some"} trades on; there were ${judged.at(-1).trades} at the last judgement.` : "it has not been judged yet";
  if (!judged.length) return;
  const at = judged.map((row) => new Date(row.ts));
  const line = (key, name, shade, dash) => ({ x: at, y: judged.map((row) => row[key]), name, mode: "lines", line: { color: shade, dash, width: 2 }, hovertemplate: "%{y:.3g}" });
  const bound = (y, text) => ({ shape: { type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour("wait"), dash: "dash", width: 1.2 } },
    annotation: { xref: "paper", x: 1, xanchor: "right", y: Math.log10(y), yanchor: "bottom", showarrow: false, text, font: { size: 10, color: colour("wait") } } });
  const bounds_ = bounds ? [bound(bounds.promote_at, `promoted from ${bounds.promote_at.toFixed(0)}`), bound(bounds.cull_at, `culled from ${bounds.cull_at.toFixed(0)} of loss`), ...(bounds.futility > 0 ? [bound(bounds.futility, `gives up below ${bounds.futility}`)] : [])] : [];
  const traces = [line("gain_evidence", "that it gains", colour("accent"), "solid"), line("loss_evidence", "that it loses", colour("minus"), "dot")];
  if (judged.some((row) => row.pair_evidence !== null)) traces.push(line("pair_evidence", "that it earns more than the incumbent", "#8b63d9", "dashdot"));
  await draw(evidence, () => ({ traces, layout: { yaxis: { type: "log", dtick: 1 }, shapes: bounds_.map((each) => each.shape), annotations: bounds_.map((each) => each.annotation) } }));
}
function drawMultipliers(target, found) {
  const rows = Object.entries(found ?? {}).filter(([, held]) => held && typeof held === "object");
  place(target, table("Multipliers", [["block"], ["takes to", "n"], ["state"], ["from"]],
    rows.map(([name, held]) => [cell(name.replaceAll("_", " ")), cell(held.value === null ? "–" : number(held.value, 3), "n"), cell(held.state),
      cell(Object.entries(held.inputs ?? {}).map(([key, value]) => `${key} ${value === null ? "not known" : Number(value).toPrecision(3)}`).join(", "), "wrap small")]),
    "not known: the arena shows none for it"),
    found?.product === undefined ? "" : el("p", { class: "dim small" }, `all together × ${Number(found.product).toFixed(3)}`));
}
function drawTrades(target, found) {
  place(target, table("Trades", [["closed"], ["where"], ["held", "n"], ["size", "n"], ["entry", "n"], ["exit", "n"], ["net", "n"], ["return", "n"], ["fees", "n"], ["funding", "n"], ["why it ended"]],
    found.trades_shown.map((row) => [cell(instant(row.exit_ts)), cell(row.mode === "shadow" ? chip("simulated", "wait") : "venue"), cell(span(row.exit_ts - row.entry_ts), "n"), cell(number(row.qty), "n"),
      cell(number(row.entry_price), "n"), cell(number(row.exit_price), "n"), cell(profit(row.net), "n"), cell(percent(row.net_return), "n"), cell(money(row.fees, 4), "n"), cell(money(row.funding, 4), "n"), cell(row.reason)]),
    "no trade has been closed yet"),
    found.trades_in_all > found.trades_shown.length ? el("p", { class: "dim small" }, `the newest ${found.trades_shown.length} of ${found.trades_in_all}`) : "");
}
function drawParity(target, found) {
  place(target, table("Parity", [["day that ended"], ["agrees", "n"], ["decisions", "n"], ["fills", "n"], ["first departure"]],
    found.parity_days.slice(-14).reverse().map((row) => [cell(instant(row.ts)), cell(row.score === null ? unknown(row.reason || "–") : percent(row.score, 2, false), "n"),
      cell(`${row.equal} of ${row.compared}`, "n"), cell(`${row.fills_within} of ${row.fills}`, "n"), cell(row.disagreements[0] ?? "", "wide small")]),
    found.simulated ? "what is simulated is not compared" : "no whole market day has been compared yet"));
}
function drawVersion(rule, lineage, found, orders, name) {
  if (found.rules) {
    const part = (title, lines) => [el("h3", {}, title), el("pre", { class: "rule" }, lines.join("\n"))];
    place(rule, ...part("It buys when", found.rules.buy), ...part("It exits when", found.rules.exit), el("p", {}, found.rules.exits),
      el("p", { class: "dim small" }, `It listens to ${found.rules.features.join(", ")}.`));
  } else place(rule, el("p", { class: "dim" }, found.why || "not known"));
  const links = Object.entries(found.links).map(([text, address]) => el("li", {}, link(address, text === "flow run" ? "flow run in Prefect" : `${text} in MLflow`)));
  place(lineage, pairs([["newest order", orders.at(-1) ?? "none"], ["agent", name], ...Object.entries(found.lineage)]),
    found.known ? "" : el("p", { class: "dim" }, found.why), links.length ? el("ul", { class: "plain" }, links) : "",
    found.gates ? el("details", { "data-key": "gates" }, el("summary", {}, `its ${found.gates.length} gates`), table("Gates", [["gate"], ["value", "n"], ["asked", "n"], ["passed"]],
      found.gates.map((gate) => [cell(el("span", { title: gate.meaning }, gate.name)), cell(gate.value === null ? "not measured" : Number(gate.value).toPrecision(4), "n"), cell(`${gate.better === "higher" ? "≥" : "≤"} ${gate.threshold}`, "n"),
        cell(gate.passed ? el("span", { class: "plus" }, "✔ yes") : el("span", { class: "minus" }, "✖ no"))]), "")) : "");
}
