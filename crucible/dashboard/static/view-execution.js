import { agentLink, ask, cell, el, instant, meter, money, number, panel, percent, place, profit, table, unknown } from "/static/dom.js";
import { refresh } from "/static/live.js";

const BOOKS = { venue: "the venue", journal: "Cerebellum's journal", ledger: "the arena's ledger" };

export async function show(view) {
  const latency = el("div"), limits = el("div"), orders = el("div"), refused = el("div"), accounts = el("div"), counters = el("div");
  view.replaceChildren(el("h1", {}, "Execution"),
    el("div", { class: "grid" }, panel("How long it takes", "w7", latency), panel("Limits, and how near they are", "w5", limits),
      panel("Orders in flight", "w8", orders), panel("Refused", "w4", refused), panel("The three accounts", "w8", accounts), panel("Counted by Cerebellum", "w4", counters)));
  refresh(async () => {
    const found = await ask("/api/execution");
    drawLatency(latency, found);
    place(limits, table("Limits", [["limit"], ["used", "n"], ["of", "n"], ["share", "n"], ["", ""]],
      found.limits.map((row) => [cell(el("span", {}, row.what, row.who ? el("span", { class: "dim small" }, " ", agentLink(row.who)) : "")), cell(row.used === null ? unknown(row.why) : money(row.used), "n"),
        cell(row.limit === null ? unknown(row.limit_why || "no limit") : money(row.limit), "n"), cell(row.share === null ? "–" : percent(row.share, 0, false), "n"),
        cell(row.share === null ? "" : meter(row.share, `${row.what}: ${(row.share * 100).toFixed(0)} percent used`, { limit: true }))]), ""));
    place(orders, table("Orders in flight", [["market time"], ["agent"], ["symbol"], ["side"], ["size", "n"], ["filled", "n"], ["limit", "n"], ["status"]],
      found.orders.map((row) => [cell(instant(row.ts)), cell(agentLink(row.agent)), cell(row.symbol), cell(row.side === "buy" ? "▲ buy" : "▼ sell"), cell(number(row.qty), "n"), cell(number(row.filled_qty), "n"), cell(row.limit_price === null ? "market" : number(row.limit_price), "n"), cell(row.status)]),
      found.note || "none: nothing is on its way"));
    place(refused, table("Refused", [["code"], ["orders", "n"], ["last"]], found.refused.map((row) => [cell(el("span", { title: row.text }, row.code)), cell(row.orders, "n"), cell(instant(row.ts))]),
      found.note || `none of the newest ${found.refused_of.toLocaleString("en")} orders`));
    place(counters, found.counters === null ? el("p", { class: "dim" }, "Cerebellum's metrics do not answer") :
      el("details", { "data-key": "counters" }, el("summary", {}, `${Object.keys(found.counters).length} figures`), table("Counted", [["what"], ["", "n"]], Object.entries(found.counters).map(([name, value]) => [cell(name), cell(number(value), "n")]), "")));
  }, 2000, null);
  refresh(async () => drawAccounts(accounts, await ask("/api/accounts")), 30000, ["changes"]);
}
function drawLatency(target, found) {
  const digits = ["0.5", "0.9", "0.95", "0.99", "0.999"];
  const ms = (value) => cell(value === null || value === undefined ? unknown("–") : number(value, 3), "n");
  const rows = (found.latencies ?? []).map((row) => [cell(row.path ? el("span", {}, row.what, el("div", { class: "dim small" }, row.path)) : row.what), ...digits.map((each) => ms(row.ms[each])), cell(row.count.toLocaleString("en"), "n")]);
  rows.unshift([cell("from a closed candle to orders sent"), ms(found.decide_ms.p50), ms(null), ms(null), ms(found.decide_ms.p99), ms(null), cell("", "n")]);
  place(target, table("Latency", [["milliseconds until"], ["p50", "n"], ["p90", "n"], ["p95", "n"], ["p99", "n"], ["p99.9", "n"], ["measured", "n"]], rows, ""),
    found.latencies === null ? el("p", { class: "dim" }, "Cerebellum's metrics do not answer") : el("p", { class: "dim small" }, "–: not measured, or not lately"));
}
function drawAccounts(target, found) {
  if (!found.known) return place(target, el("p", { class: "dim" }, found.why));
  const part = (name) => Object.keys(BOOKS).map((keeper) => found.books[keeper]?.[name]);
  const row = (text, name, show) => [cell(text), ...part(name).map((value) => cell(value === undefined || value === null ? unknown() : show(value), "n"))];
  const positions = [...new Set(Object.values(found.books).flatMap((book) => Object.keys(book?.positions ?? {})))].sort();
  place(target,
    el("p", { class: found.books_agree ? "plus" : "minus" }, found.books_agree ? "✔ all three are reconciled, to the last unit" : "✖ they are not reconciled"),
    table("Accounts", [["", ""], ...Object.values(BOOKS).map((name) => [name, "n"])], [
      row("fills", "fills", (value) => number(value)), row("fees", "fees", (value) => money(value, 4)), row("funding", "funding", (value) => money(value, 4)),
      row("cash", "cash", (value) => profit(value, { digits: 4 })), row("profit at marks", "pnl", (value) => profit(value, { digits: 4 })),
      ...positions.map((symbol) => [cell(symbol), ...Object.keys(BOOKS).map((keeper) => cell(found.books[keeper] ? number(found.books[keeper].positions[symbol] ?? "0") : unknown(), "n"))])], ""),
    el("ul", { class: "plain small" }, [...found.differences.map((text) => el("li", { class: "minus" }, text)), ...found.notes.map((text) => el("li", { class: "dim" }, text))]),
    el("p", { class: "dim small" }, `compared at most every 30 s; it took ${found.took_s} s`));
}
