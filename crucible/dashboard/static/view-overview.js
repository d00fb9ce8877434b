import { agentLink, ago, ask, cell, chip, el, instant, link, money, panel, place, profit, rounded, table, unknown } from "/static/dom.js";
import { chart, colour, draw, sketch } from "/static/chart.js";
import { refresh } from "/static/live.js";

const NAMES = { today: "Today", week: "7 days", all: "All" };
const LEVELS = { serious: ["✖", "minus", "serious"], look: ["▲", "wait", "look at this"], note: ["ℹ", "dim", "note"] };

const FAR = 8;
const known = (line) => line.filter((value) => value !== null);
const spread = (line) => { const values = known(line); return values.length ? Math.max(...values) - Math.min(...values) : 0; };
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

export async function show(view) {
  const cards = el("div", { class: "cards" });
  const equity = chart("Total equity and buying and holding the traded symbols over market time");
  const note = el("p", { class: "dim small" });
  const warnings = el("div"), money_ = el("div"), slots = el("div"), births = el("div"), deaths = el("div"), services = el("div");
  view.replaceChildren(
    el("h1", {}, "Overview"), cards,
    el("div", { class: "grid" },
      panel("Equity at the venue", "w8", equity, note),
      panel("What to look at", "w4", warnings),
      panel("Profit and loss, market days (UTC)", "w8", money_),
      panel("Slots and agents", "w4", slots),
      panel("Last births", "w6", births), panel("Last ends", "w6", deaths),
      panel("Services", "w12", services)));
  let figuresStand;
  const figures = new Promise((done) => { figuresStand = done; });
  refresh(async () => {
    const found = await ask("/api/overview");
    drawCards(cards, found);
    drawWarnings(warnings, found.warnings);
    drawMoney(money_, found.money);
    drawSlots(slots, found);
    place(births, list(found.births, (row) => ` as ${row.role}, ${row.proof || "unproven"}`, "nobody has been given a slot yet: the first forge runs are still running"));
    place(deaths, list(found.deaths, (row) => ` ${row.cause}`, "nobody has been taken off yet"));
    drawServices(services, found.services);
    figuresStand();
  }, 2000, null);
  refresh(async () => {
    const found = await ask("/api/curve");
    const own = found.equity.map(Number), first = own[0];
    // Beside a market that moved many times as far, a curve of equity would be a flat line.
    const isFar = spread(own) > 0 && spread(found.hold) > FAR * spread(own);
    const held = known(found.hold).at(-1);
    const even = `the line of holding spreads the same capital evenly over ${found.symbols.join(", ")}, without costs`;
    // What is not drawn is said whatever else is.
    const far = isFar ? `holding stands at ${signed((held / first - 1) * 100)} % where equity stands at ${signed((own.at(-1) / first - 1) * 100)} %, off this scale: click its name to draw it` : "";
    note.textContent = [found.note || even, far].filter(Boolean).join("; ");
    equity.hidden = !found.ts.length;
    if (equity.hidden) return;
    sketch(equity, [{ y: own, shade: "var(--accent)" }, ...(isFar ? [] : [{ y: found.hold, shade: "var(--dim)", dash: "6 5" }])]);
    await figures;
    await draw(equity, () => ({
      traces: [
        { x: found.ts.map((ts) => new Date(ts)), y: own, name: "equity", mode: "lines", line: { color: colour("accent"), width: 2.4 }, fill: "none", hovertemplate: "%{y:,.2f} USDT" },
        { x: found.ts.map((ts) => new Date(ts)), y: found.hold, name: "buy and hold", mode: "lines", visible: isFar ? "legendonly" : true, line: { color: colour("dim"), width: 1.6, dash: "dash" }, hovertemplate: "%{y:,.2f} USDT" },
      ],
      layout: {
        yaxis: { tickformat: ",.2~f", title: { text: "USDT" } }, xaxis: { type: "date" },
        shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: first, y1: first, line: { color: colour("line"), width: 1 } }],
      },
    }));
  }, 10000, ["changes"]);
}

function list(rows, words, nothing) {
  if (!rows.length) return el("p", { class: "dim" }, nothing);
  return el("ul", { class: "plain" }, rows.map((row) => el("li", {}, el("span", { class: "dim figure" }, instant(row.ts)), " ", agentLink(row.agent), words(row))));
}
function card(name, value, note) {
  return el("div", { class: "card" }, el("div", { class: "name" }, name), el("div", { class: "value" }, value), el("div", { class: "note" }, note));
}
function drawCards(target, found) {
  const held = found.money, base = Number(held.base), today = held.periods.find((each) => each.name === "today");
  const share = held.base === null ? "" : ` of ${Number(held.base).toLocaleString("en")} USDT`;
  const missing = held.unknown.length ? `without ${held.unknown.join(", ")}, whose open position has no price: ${rounded(held.known_profit, 2).replace("-", "−")} USDT` : "";
  place(target,
    card("Profit, all, open positions included", profit(held.profit, { arrow: true }), missing || (base ? `${(Number(held.profit) / base * 100).toFixed(2)} %${share}` : "USDT")),
    card("Today, closed, after fees and funding", today ? profit(today.net, { arrow: true }) : unknown(), today ? `${today.trades} trades, ${today.wins} earned` : "no market day yet"),
    card("Equity", held.equity === null ? unknown() : money(held.equity), held.unknown.length ? "an open position has no price" : "USDT"),
    card("Capital at work", money(held.at_work), base ? `${(Number(held.at_work) / base * 100).toFixed(1)} %${share}` : "USDT"),
    card("Open positions stand at", held.unknown.length ? unknown() : profit(held.open, { arrow: true }), held.unknown.length ? `no price: ${held.unknown.join(", ")}` : "USDT, their fees included"),
    card("Slots filled", found.slots.of === null ? unknown() : `${found.slots.filled} of ${found.slots.of}`, `${found.agents.production ?? 0} at the venue`));
}
function drawWarnings(target, found) {
  if (!found.length) return place(target, el("p", { class: "plus" }, "✔ nothing: orders may leave, every service lives, parity holds"));
  place(target, el("ul", { class: "plain warnings" }, found.slice(0, 12).map(({ level, text }) => {
    const [shape, kind, word] = LEVELS[level];
    return el("li", {}, el("span", { class: kind, title: word, "aria-label": word, role: "img" }, shape), el("span", {}, text));
  })), found.length > 12 ? el("p", { class: "dim" }, `and ${found.length - 12} more`) : "");
}
function drawMoney(target, held) {
  place(target, table("Profit and loss", [["closed trades of"], ["net", "n"], ["before funding", "n"], ["fees paid", "n"], ["funding paid", "n"], ["trades", "n"], ["earned", "n"]],
    held.periods.map((row) => [cell(NAMES[row.name]), cell(profit(row.net), "n"), cell(profit(row.pnl), "n"), cell(money(row.fees), "n"),
      cell(money(row.funding, 4), "n"), cell(row.trades, "n"), cell(row.trades ? `${(row.wins / row.trades * 100).toFixed(0)} %` : "–", "n")]), ""),
    el("p", { class: "dim small" }, "USDT. Net is after fees and funding. Fees are those of every fill, of open positions as well."));
}
function drawSlots(target, found) {
  const words = Object.entries(found.agents).map(([name, count]) => chip(`${count} ${name}`, name === "production" ? "plus" : "dim"));
  place(target, el("p", { class: "row" }, words.length ? words : "nobody trades yet"),
    found.slots.empty.length ? el("ul", { class: "plain" }, found.slots.empty.slice(0, 10).map((row) =>
      el("li", {}, el("strong", {}, row.slot), ` waits for ${row.waits_for}`))) : el("p", { class: "dim" }, "every slot has a production agent"),
    found.slots.empty.length > 10 ? el("p", { class: "dim" }, `and ${found.slots.empty.length - 10} more`) : "");
}
const SHAPE = { up: ["●", "plus"], starting: ["◐", "wait"], down: ["✖", "minus"] };
// MLflow's root opens on pages for language models.
const FRONT = { mlflow: "/forgings" };
function drawServices(target, found) {
  place(target, table("Services", [["service"], ["state"], ["last sign of life"], ["address"], ["memory", "n"], ["last event"]],
    found.map((row) => {
      const [shape, kind] = SHAPE[row.state] ?? ["?", "dim"];
      return [cell(row.name), cell(el("span", { class: kind }, `${shape} ${row.state}`)),
        cell(el("span", { title: `by ${row.sign}` }, ago(row.age_s))), cell(row.address ? link(FRONT[row.name] ?? row.address, row.address) : ""),
        cell(row.memory_mb ? `${row.memory_mb.toFixed(0)} MB` : "", "n"), cell(row.event, "wide")];
    }), "no service was ever started here"));
}
