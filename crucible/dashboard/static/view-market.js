import { agentLink, ago, ask, cell, el, instant, number, panel, place, table, unknown, when } from "/static/dom.js";
import { CYCLE, chart, colour, draw } from "/static/chart.js";
import { refresh } from "/static/live.js";
import { steer } from "/static/steer.js";

const SHOWN = 60;
// Rows below the candles: the lines of each by the names of their features, what they are called, and what they measure.
const ROWS = [
  [[["influence_in", "influence", "solid"]], "next return that others predict, deviations"],
  [[["mce_pressure", "pressure", "solid"], ["mce_skew", "skew", "dot"]], "from -1, sellers, to 1, buyers"],
  [[["radar_distance", "radar distance", "solid"]], "of the market's shape, deviations"],
];
const ROW = 0.14, GAP = 0.045;
// Seconds: after so long without a newer one levels are called old, and a book of which nothing came is called missing.
const OLD_S = 10, MISSING_S = 5;

export async function show(view) {
  const asked = new URLSearchParams(location.search);
  let symbol = asked.get("symbol") ?? "", span = asked.get("span") ?? "12h";
  const select = el("select", { id: "symbol", onchange: () => change(select.value, span) });
  const spans = el("span", { class: "row" }), orders = el("span", { class: "row end" });
  const candles = chart("Candles with every entry and exit, regime changes, and what the features said below", "tall"), flow = chart("What the order book said minute by minute", "low");
  const flowNote = el("p", { class: "dim small" }), note = el("p", { class: "dim small" });
  const lineNote = el("p", { class: "dim small", id: "lines" }), bandNote = el("p", { class: "dim small", id: "regimes" });
  const depth = chart("Depth of the order book: cumulative size of the ten best bids, a line, and of the ten best asks, dashes", "low"), depthNote = el("p", { class: "small", id: "depth" });
  depth.hidden = true;
  const book = el("div"), holders = el("div"), marks = el("div");
  view.replaceChildren(
    el("div", { class: "row tools" }, el("h1", {}, "Market"), el("label", {}, "symbol", select), spans, orders),
    el("div", { class: "grid" }, panel("Candles, regime changes, influence, pressure and skew", "w8", candles, note, bandNote, lineNote), panel("Order book now", "w4", depthNote, depth, book, el("h3", {}, "Who holds it"), holders),
      panel("Pressure and skew of the book", "w12", flow, flowNote),
      panel("Entries and exits", "w12", marks)));
  const watch = refresh(async () => {
    const found = await ask(`/api/market?symbol=${encodeURIComponent(symbol)}&span=${span}`);
    symbol = found.symbol;
    if (select.options.length !== found.symbols.length) select.replaceChildren(...found.symbols.map((name) => el("option", { value: name }, name)));
    select.value = symbol;
    place(spans, ...found.spans.map((name) => el("button", { type: "button", "aria-pressed": String(name === span), "data-focus": name, onclick: () => change(symbol, name) }, name)));
    place(orders, ...[["halt", `Halt ${symbol}…`], ["resume", `Resume ${symbol}…`], ["kill", `Kill ${symbol}…`]].map(([action, text]) =>
      el("button", { type: "button", class: action === "kill" ? "danger" : null, "data-focus": action, onclick: () => steer(action, { symbol }) }, text)));
    const trouble = found.candles_trouble ? `${found.candles_trouble}. ` : "";
    note.textContent = trouble + (found.candles_until_ts === null ? (trouble ? "" : "no candles are held of this symbol")
      : `candles of ${found.step_minutes} min until ${when(found.candles_until_ts)}; ▲ entry, ▼ exit, hollow where simulated.${found.missing_minutes ? ` ${found.missing_minutes} minutes have no candle here; the next forge run reads them into the lake, where the venue has them.` : ""}${found.fills_left_out ? ` ${found.fills_left_out.toLocaleString("en")} of ${(found.fills.length + found.fills_left_out).toLocaleString("en")} entries and exits are left out, evenly over this time.` : ""}`);
    bandNote.textContent = regimes(found);
    lineNote.textContent = lines(found);
    place(holders, table("Who holds it", [["agent"], ["size", "n"], ["since"]], found.holders.map((row) => [cell(agentLink(row.agent)), cell(number(row.qty), "n"), cell(instant(row.entry_ts))]), "nobody holds a position in it"));
    place(marks, table("Entries and exits", [["market time"], ["agent"], ["where"], ["side"], ["size", "n"], ["price", "n"], ["fee", "n"], ["why"]],
      found.fills.slice(0, SHOWN).map((row) => [cell(instant(row.ts)), cell(agentLink(row.agent)), cell(row.mode === "live" ? "venue" : "simulated"), cell(row.side === "buy" ? "▲ buy" : "▼ sell"),
        cell(number(row.qty), "n"), cell(number(row.price), "n"), cell(number(row.fee), "n"), cell(row.reason, "wide")]), "nobody traded it in this time"),
      found.fills.length > SHOWN || found.fills_left_out ? el("p", { class: "dim small" }, `${Math.min(SHOWN, found.fills.length)} of ${(found.fills.length + found.fills_left_out).toLocaleString("en")}; all of them stand in Events`) : "");
    // Figures first: a chart takes a moment.
    await drawCandles(candles, found);
    await drawFlow(flow, flowNote, found);
  }, 3000);
  refresh(async () => {
    if (!symbol) return;
    const asked = symbol, found = await ask(`/api/book?symbol=${encodeURIComponent(asked)}`);
    if (asked !== symbol) return;
    drawBook(book, found);
    await drawDepth(depth, depthNote, asked, found);
  }, 1000, null);
  function change(name, length) {
    symbol = name; span = length;
    history.replaceState(null, "", `?symbol=${encodeURIComponent(symbol)}&span=${span}`);
    watch.now();
  }
}
async function drawCandles(target, found) {
  const x = found.candles.ts.map((ts) => new Date(ts));
  const part = (side, mode) => found.fills.filter((row) => row.side === side && row.mode === mode);
  const dots = (side, mode, name) => {
    const rows = part(side, mode), shade = colour(side === "buy" ? "plus" : "minus");
    return { x: rows.map((row) => new Date(row.ts)), y: rows.map((row) => Number(row.price)), name, mode: "markers", type: "scatter",
      text: rows.map((row) => `${escape(row.agent)}: ${row.side} ${row.qty} at ${row.price}<br>${escape(row.reason)}`), hovertemplate: "%{text}<extra></extra>",
      marker: { symbol: (side === "buy" ? "triangle-up" : "triangle-down") + (mode === "live" ? "" : "-open"), size: 11, color: shade, line: { width: 1.4, color: mode === "live" ? colour("panel") : shade } } };
  };
  const said = found.readings, half = found.step_minutes * 30000, times = said.ts.map((ts) => new Date(ts));
  const rows = ROWS.map(([drawn, unit]) => [drawn.filter(([key]) => !(key in said.empty)), unit]).filter(([drawn]) => drawn.length);
  await draw(target, () => ({
    traces: [
      { type: "candlestick", x, open: found.candles.open, high: found.candles.high, low: found.candles.low, close: found.candles.close, name: escape(found.symbol),
        increasing: { line: { color: colour("plus"), width: 1 }, fillcolor: "rgba(0,0,0,0)" }, decreasing: { line: { color: colour("minus"), width: 1 }, fillcolor: colour("minus") } },
      dots("buy", "live", "entry"), dots("sell", "live", "exit"), dots("buy", "shadow", "simulated entry"), dots("sell", "shadow", "simulated exit"),
      ...rows.flatMap(([drawn], place) => drawn.map(([key, name, dash]) => ({ x: times, y: said.lines[key], name, yaxis: `y${place + 2}`, type: "scatter", mode: "lines+markers", connectgaps: false, showlegend: false,
        line: { width: 1.4, color: colour(dash === "solid" ? "accent" : "text"), dash }, marker: { size: said.lines[key].map((_, at) => alone(said.lines[key], at) ? 4 : 0), color: colour("accent") } }))),
    ].filter((trace) => trace.x.length),
    layout: { hovermode: "closest", legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" }, xaxis: { rangeslider: { visible: false }, type: "date", anchor: rows.length ? `y${rows.length + 1}` : "y" }, yaxis: { side: "right", domain: [rows.length * ROW + (rows.length ? GAP / 2 : 0), 1] },
      ...Object.fromEntries(rows.map((_, place) => [`yaxis${place + 2}`, { side: "right", nticks: 4, zeroline: true, zerolinecolor: colour("dim"), domain: rowDomain(rows.length, place) }])),
      annotations: rows.map(([drawn, unit], place) => ({ text: `${drawn.map(([, name, dash]) => drawn.length > 1 ? `${name} (${dash === "solid" ? "line" : "dots"})` : name).join(", ")}: ${unit}`, showarrow: false,
        xref: "paper", yref: "paper", x: 0, xanchor: "left", y: rowDomain(rows.length, place)[1], yanchor: "bottom", font: { size: 10, color: colour("dim") } })),
      shapes: said.regime_changes.map(([from, until]) => ({ type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: new Date(from - half), x1: new Date(until - half),
        fillcolor: `${colour("wait")}30`, line: { width: 1, color: colour("wait"), dash: "dot" } })) },
  }));
}
function rowDomain(count, place) { const top = (count - place) * ROW; return [top - ROW, top - GAP]; }
// A figure between two gaps is a point: there is nothing to draw a line to.
const gap = (value) => value === null || value === undefined;
function alone(line, at) { return !gap(line[at]) && gap(line[at - 1]) && gap(line[at + 1]); }
function regimes({ readings: { minutes, regime_minutes: known, regime_changes: bands } }) {
  const unknown = minutes - known;
  const times = unknown ? ` Of ${minutes.toLocaleString("en")} recorded minutes it is not known in ${unknown.toLocaleString("en")}.` : "";
  if (!known) return `Whether the regime changed is not known in this time.${minutes ? "" : " No minute of it is recorded."}`;
  return (bands.length ? `Dotted bands: candles in which the regime was taken to have changed, ${bands.length === 1 ? "once" : `${bands.length} times`} in this time, last from ${when(bands.at(-1)[0])} until ${when(bands.at(-1)[1])}.`
    : "No regime change in this time.") + times;
}
function lines({ readings: { empty }, step_minutes: step }) {
  const without = ROWS.flatMap(([drawn]) => drawn).filter(([key]) => key in empty).map(([key, name]) => `${name}: ${empty[key]}.`);
  if (without.length === ROWS.flatMap(([drawn]) => drawn).length && new Set(Object.values(empty)).size === 1) return `Influence, pressure, skew and radar distance: ${Object.values(empty)[0]}.`;
  return `Below the candles: what the features said at each closed minute${step > 1 ? `, the mean of what was known in ${step} minutes` : ""}; a gap where nothing was known. ${without.join(" ")}`;
}
// plotly reads a few tags in texts; a name is no markup.
const escape = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
async function drawFlow(target, note, found) {
  const held = found.book;
  target.hidden = !held || !held.ts.length;
  if (target.hidden) { note.textContent = found.book_trouble || "no minutes of the order book are recorded for this time"; return; }
  const x = held.ts.map((ts) => new Date(ts));
  note.textContent = "skew: which side of the book is heavier; flow: whose orders pressed; depth of ten levels in the base asset";
  await draw(target, () => ({ traces: [
    { x, y: held.skew, name: "skew", mode: "lines", line: { width: 1.4, color: CYCLE[0] } }, { x, y: held.ofi, name: "flow", mode: "lines", yaxis: "y2", line: { width: 1.2, color: CYCLE[1] } },
    { x, y: held.depth, name: "depth", mode: "lines", yaxis: "y3", line: { width: 1.2, color: colour("dim") } }],
    layout: { yaxis: { domain: [0.7, 1], nticks: 4 }, yaxis2: { domain: [0.35, 0.65], nticks: 4 }, yaxis3: { domain: [0, 0.3], nticks: 4 }, xaxis: { anchor: "y3" } } }));
}
function drawBook(target, found) {
  const top = found.top, newest = found.seconds.at(-1);
  if (!top && !newest) return place(target, "");
  const widest = top ? Math.max(Number(top.bid_qty), Number(top.ask_qty)) : 0;
  const side = (name, price, qty, shape) => [cell(`${shape} ${name}`), cell(number(price), "n"), cell(number(qty), "n"), cell("█".repeat(widest ? Math.max(1, Math.round(Number(qty) / widest * 12)) : 0), "small")];
  place(target,
    top ? table("Best prices", [["side"], ["price", "n"], ["size", "n"], ["depth"]], [side("ask", top.ask, top.ask_qty, "▼"), side("bid", top.bid, top.bid_qty, "▲")], "") : "",
    newest ? table("Ten levels", [["of ten levels"], ["", "n"]], [
      [cell("spread"), cell(number(newest.spread), "n")], [cell("depth"), cell(newest.depth === null ? unknown("stale") : number(newest.depth, 4), "n")],
      [cell("skew"), cell(newest.skew === null ? unknown("stale") : number(newest.skew, 4), "n")], [cell("flow"), cell(newest.ofi === null ? unknown("stale") : number(newest.ofi, 4), "n")]], "") : "",
    found.levels ? levels(found.levels) : "",
    el("p", { class: "dim small" }, `best prices and figures as published at ${when((newest ?? top).ts)}`));
}
function levels(held) {
  const rows = (side, name) => side.map((level) => [cell(name), cell(number(level.price), "n"), cell(number(level.qty), "n"), cell(number(level.total), "n")]);
  return el("details", { "data-key": "levels" }, el("summary", {}, `All ${held.bids.length + held.asks.length} levels`),
    table("Levels of the order book", [["side"], ["price", "n"], ["size", "n"], ["cumulative", "n"]], [...rows([...held.asks].reverse(), "▼ ask"), ...rows(held.bids, "▲ bid")], ""));
}
async function drawDepth(target, words, symbol, found) {
  const held = found.levels;
  target.hidden = !held;
  if (!held) {
    words.textContent = found.stale !== null ? `The order book is stale: ${found.stale}. Its levels come back with the venue's next snapshot.`
      : found.listened_s < MISSING_S ? "Listening for the order book…"
      : `No order book of ${symbol} is published: the venue serves none, it is stale, or no Cerebellum runs. Heard nothing in ${Math.floor(found.listened_s)} s.`;
    return;
  }
  const bps = Number(held.spread) / Number(held.mid) * 10000, old = held.age_s > OLD_S;
  words.replaceChildren("Spread ", number(held.spread), ` (${bps.toLocaleString("en", { maximumSignificantDigits: 3 })} bps), mid `, number(held.mid), `. At ${new Date(held.ts).toISOString().slice(0, 19).replace("T", " ")} UTC of the market, heard ${ago(held.age_s)}.`,
    old ? el("strong", {}, " These levels are old: nothing newer was published.") : "");
  const key = `${symbol} ${held.ts}`;
  if (target.dataset.shown === key) return;
  target.dataset.shown = key;
  // From the best price outwards; between two levels nothing is added.
  const side = (rows, name, shade, more) => ({ x: [rows[0].price, ...rows.map((level) => level.price)].map(Number), y: [0, ...rows.map((level) => level.total)].map(Number), name, type: "scatter", mode: "lines", fill: "tozeroy",
    line: { shape: "hv", width: 1.6, color: colour(shade), ...more.line }, fillcolor: `${colour(shade)}22`, ...more.fill, hovertemplate: `${name}: %{y} from %{x}<extra></extra>` });
  // The last step of a side stands on the edge otherwise.
  const ends = [held.bids, held.asks].map((rows) => Number(rows.at(-1).price)), room = (ends[1] - ends[0]) * 0.03;
  await draw(target, () => ({
    traces: [side(held.bids, "▲ bids (line)", "plus", { line: { dash: "solid" } }), side(held.asks, "▼ asks (dashes, hatched)", "minus", { line: { dash: "dash" }, fill: { fillpattern: { shape: "/", size: 6, fgcolor: colour("minus"), bgcolor: "rgba(0,0,0,0)" } } })],
    layout: { hovermode: "closest", yaxis: { side: "right", rangemode: "tozero", nticks: 5 }, xaxis: { nticks: 5, range: [ends[0] - room, ends[1] + room], separatethousands: true, exponentformat: "none" },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: Number(held.mid), x1: Number(held.mid), line: { width: 1, color: colour("dim"), dash: "dot" } }] },
  }));
}
