import { agentLink, ask, cell, chip, el, instant, panel, place, profit, scroll, span, svg, table, when } from "/static/dom.js";
import { refresh } from "/static/live.js";

const SHADE = { production: "var(--accent)", challenger: "var(--dim)", draining: "var(--wait)", placebo: "var(--line)" };

export async function show(view) {
  const lines = el("div"), rows = el("div", { class: "stack" }), placebos = el("div"), note = el("p", { class: "dim small" });
  const withPlacebos = el("input", { type: "checkbox", id: "placebos-shown", checked: true, onchange: () => watch.now() });
  view.replaceChildren(el("h1", {}, "Population"),
    el("div", { class: "panel" }, el("div", { class: "row tools" }, el("h2", {}, "Lifelines"), el("label", { class: "end" }, withPlacebos, "placebos beside the rest")), lines, note),
    panel("Lives", "", rows), panel("Placebos", "", placebos));
  const watch = refresh(async () => {
    const found = await ask("/api/population");
    const shown = found.lives.filter((life) => withPlacebos.checked || !life.placebo);
    place(lines, drawLines(shown, found.market_ts));
    note.textContent = `Thick: at the venue; thin: simulated; dotted: a placebo. ◆ promoted, ✖ ended, ▸ lives.${found.left_out ? ` ${found.left_out} older lives are left out.` : ""}`;
    place(rows, table("Lives", [["agent"], ["role"], ["born"], ["lived", "n"], ["net", "n"], ["trades", "n"], ["took the place of"], ["why it ended"]],
      [...shown].sort((a, b) => b.since_ts - a.since_ts).slice(0, 200).map((life) => el("tr", { class: life.role === "production" || life.role === "draining" ? null : "simulated" },
        cell(agentLink(life.agent)), cell(el("span", {}, life.role, " ", life.proof === "unproven" ? chip("unproven", "wait") : chip(life.proof, "plus"))), cell(instant(life.since_ts)),
        cell(span((life.until_ts ?? found.market_ts ?? life.since_ts) - life.since_ts), "n"), cell(profit(life.net), "n"), cell(life.trades, "n"),
        cell(agentLink(life.replaced)), cell(life.cause ?? (life.until_ts === null ? "lives" : ""), "wide"))), "nobody has lived yet"));
    const check = found.placebos;
    place(placebos, check.sentence ? el("p", { class: check.alarm ? "minus" : "" }, check.sentence) : el("p", { class: "dim" }, "no placebo has been judged yet, or they are switched off"),
      el("p", { class: "dim small" }, "Placebos enter at random. If more of them are promoted or proven than the stated share, a promotion says less than it claims."));
  }, 5000);
}
function drawLines(lives, now) {
  if (!lives.length) return el("p", { class: "dim" }, "nobody has lived yet");
  const first = Math.min(...lives.map((life) => life.since_ts)), last = Math.max(now ?? 0, ...lives.map((life) => life.until_ts ?? 0), first + 1);
  const left = 190, width = 1100, row = 17, height = lives.length * row + 26;
  const x = (ts) => left + (Math.max(first, ts) - first) / (last - first) * (width - left - 24);
  const made = svg("svg", { class: "lifeline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Lifelines of ${lives.length} agents from ${when(first)} to ${when(last)}` });
  for (let step = 0; step <= 4; step += 1) {
    const ts = first + (last - first) * step / 4, place = x(ts);
    made.append(svg("line", { x1: place, x2: place, y1: 0, y2: height - 18, stroke: "var(--line)" }),
      svg("text", { x: place, y: height - 5, "font-size": 11, fill: "var(--dim)", "text-anchor": step === 0 ? "start" : step === 4 ? "end" : "middle" }, when(ts, true)));
  }
  lives.forEach((life, number) => {
    const y = number * row + 11, end = x(life.until_ts ?? last), venue = life.role === "production" || life.role === "draining";
    const group = svg("g", {}, svg("title", {}, `${life.agent}, ${life.role}: ${when(life.since_ts)} to ${life.until_ts ? when(life.until_ts) : "now"}${life.cause ? `; ${life.cause}` : ""}${life.replaced ? `; took the place of ${life.replaced}` : ""}`));
    group.append(svg("text", { x: left - 8, y: y + 4, "font-size": 11, fill: "var(--text)", "text-anchor": "end" }, life.agent),
      svg("line", { x1: x(life.since_ts), x2: Math.max(end, x(life.since_ts) + 2), y1: y, y2: y, stroke: life.placebo ? "var(--dim)" : SHADE[life.role] ?? "var(--dim)", "stroke-width": venue ? 7 : 3, "stroke-dasharray": life.placebo ? "2 4" : null }),
      svg("text", { x: end + 3, y: y + 4, "font-size": 11, fill: life.until_ts === null ? "var(--plus)" : "var(--minus)" }, life.until_ts === null ? "▸" : "✖"));
    if (life.promoted_ts) group.append(svg("text", { x: x(life.promoted_ts) - 4, y: y + 4, "font-size": 12, fill: "var(--text)" }, "◆"));
    made.append(group);
  });
  return scroll("Lifelines", made);
}
