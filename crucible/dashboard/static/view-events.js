import { agentLink, ask, cell, chip, el, instant, place, table } from "/static/dom.js";
import { refresh } from "/static/live.js";

const SHAPE = { fill: "⇄", decision: "?", verdict: "⚖", alarm: "▲", birth: "✚", end: "✖", systemic: "▲" };

export async function show(view) {
  const asked = new URLSearchParams(location.search);
  const kinds = new Set((asked.get("kinds") ?? "").split(",").filter(Boolean));
  const agent = el("input", { type: "search", id: "agent", value: asked.get("agent") ?? "", placeholder: "SLOT@VERSION", onchange: change });
  const buttons = el("span", { class: "row" }), rows = el("div", { class: "stack" }), older = el("button", { type: "button", hidden: true, onclick: () => { before = next; watch.now(); } }, "older");
  const newest = el("button", { type: "button", hidden: true, onclick: () => { before = null; watch.now(); } }, "back to the newest");
  let before = null, next = null;
  view.replaceChildren(el("h1", {}, "Events"),
    el("div", { class: "panel" }, el("div", { class: "row tools" }, buttons, el("label", { class: "end" }, "agent", agent)), rows, el("div", { class: "row" }, older, newest)));
  function change() {
    const search = new URLSearchParams();
    if (kinds.size) search.set("kinds", [...kinds].join(","));
    if (agent.value.trim()) search.set("agent", agent.value.trim());
    history.replaceState(null, "", search.size ? `?${search}` : location.pathname);
    before = null;
    watch.now();
  }
  const watch = refresh(async () => {
    const search = new URLSearchParams({ kinds: [...kinds].join(","), agent: agent.value.trim(), before: before ?? "" });
    const found = await ask(`/api/events?${search}`);
    place(buttons, ...found.kinds.map((kind) => el("button", { type: "button", "aria-pressed": String(kinds.has(kind)), "data-focus": kind, onclick: () => { if (!kinds.delete(kind)) kinds.add(kind); change(); } }, `${SHAPE[kind] ?? ""} ${kind}`)));
    place(rows, table("Events", [["market time"], ["kind"], ["agent"], ["what happened"]], found.events.map((row) => el("tr", { class: row.mode === "shadow" ? "simulated" : null },
      cell(instant(row.ts)), cell(chip(`${SHAPE[row.kind] ?? ""} ${row.kind}`, ["alarm", "systemic"].includes(row.kind) ? "minus" : "dim")), cell(agentLink(row.agent)), cell(row.text, "wide"))), kinds.size || agent.value.trim() ? "nothing of that kind has happened" : "nothing has happened yet"));
    next = found.next;
    older.hidden = next === null;
    newest.hidden = before === null;
  }, 2000);
}
