import { ago, ask, cell, el, meter, number, panel, place, table } from "/static/dom.js";
import { refresh } from "/static/live.js";

const STAGES = { features: "computing features", evolving: "evolving", gates: "at the gates", publishing: "publishing" };

export async function show(view) {
  const running = el("div"), queue = el("div"), outcomes = el("div"), slots = el("div");
  view.replaceChildren(el("h1", {}, "Forge runs under way"),
    el("div", { class: "grid" }, panel("Under way", "w7", running), panel("Queue", "w5", queue), panel("What the last ones came to", "w7", outcomes), panel("Slots", "w5", slots)));
  refresh(async () => {
    const found = await ask("/api/forge-runs");
    place(running, table("Under way", [["slot"], ["stage"], ["generation"], ["", ""], ["best score", "n"], ["tried", "n"], ["written"]],
      found.running.map((row) => row.fault ? [cell(row.key), cell(row.fault, "wide")] : [cell(row.slot), cell(row.alive ? STAGES[row.stage] ?? row.stage : el("span", { class: "wait" }, "interrupted; goes on when it is retried")), cell(`${row.generation} of ${row.generations}`),
        cell(meter(row.generations ? row.generation / row.generations : 0, `${row.generation} of ${row.generations} generations`)), cell(row.best_score === null ? "nobody judged" : number(row.best_score, 4), "n"), cell(number(row.trials), "n"), cell(ago(row.age_s))]),
      "no forge run is under way"));
    place(queue, el("ul", { class: "plain" }, found.queue.map((row) => el("li", {}, el("strong", {}, row.slot), ` ${row.reason ?? ""}`))),
      found.queue.length || found.slots_fault ? "" : el("p", { class: "dim" }, "nothing waits"), el("p", { class: "dim small" }, found.slots_fault ? `not known: ${found.slots_fault}` : found.queue_age_s === null ? "the slots have not been looked at yet" : `as of the last look at the slots, ${ago(found.queue_age_s)}`));
    place(outcomes, table("Outcomes", [["ended"], ["slot"], ["outcome"]], found.outcomes.map((row) => [cell(ago(row.age_s)), cell(row.slot), cell(row.outcome, "wide")]), "no forge run has ended yet"));
    place(slots, table("Slots", [["slot"], ["production"], ["challenger"], ["runs in vain", "n"]],
      found.slots.map((row) => [cell(row.slot), cell(row.production || "–"), cell(row.challenger || "–"), cell(row["forgings without a version"] ?? "", "n")]), found.slots_fault ? `not known: ${found.slots_fault}` : "the slots have not been looked at yet"));
  }, 2000, null);
}
