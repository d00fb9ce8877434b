// Orders: named, confirmed, sent with this server's token, and their effect shown.
import { byId } from "/static/dom.js";

const token = document.querySelector("meta[name=crucible-token]").content;
// The server's clock less this one's, by the instant at which the document came. An order carries the instant at
// which it was given, and the server refuses an old one: a browser may hold a request back for minutes.
const came = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart || performance.now());
const ahead = Number(document.querySelector("meta[name=crucible-now]").content) - came;
// Longer than the server takes at most: three answers, and the wait until all is closed.
const ANSWER_MS = 40000;
const WHAT = {
  kill: ["Kill", "It is halted, its open orders are cancelled and its positions are closed at the market, now. It stays halted until somebody resumes it."],
  halt: ["Halt", "No order of an agent leaves from then on, and resting orders that would open a position are cancelled. Positions stay, and stay protected."],
  resume: ["Resume", "Agents may send orders again."],
  close: ["Close position of", "Its position is closed at the market, now. Its state stays as it is, so it may open another one."],
};
export function scopeName(agent, symbol) { return [agent, symbol].filter(Boolean).join(" in ") || "everything"; }

export function steer(action, { agent = null, symbol = null } = {}) {
  const dialog = byId("steer"), yes = byId("steer-yes"), no = byId("steer-no");
  const [verb, text] = WHAT[action];
  const name = `${verb} ${action === "close" ? `${agent} in ${symbol}` : scopeName(agent, symbol)}`;
  byId("steer-title").textContent = `${name}?`;
  byId("steer-text").textContent = text;
  const effect = byId("steer-effect");
  effect.textContent = "";
  effect.className = "";
  yes.textContent = name;
  yes.hidden = false;
  yes.disabled = false;
  no.textContent = "Cancel";
  no.onclick = () => dialog.close();
  yes.onclick = async () => {
    yes.disabled = true;
    const given = Math.round(Date.now() + ahead);
    let answered = false;
    effect.className = "";
    effect.textContent = "ordered; waiting for what happens";
    try {
      const answer = await fetch("/api/control", {
        method: "POST", headers: { "Content-Type": "application/json", "X-Crucible-Token": token },
        body: JSON.stringify({ action, agent, symbol, given_ms: given }), signal: AbortSignal.timeout(ANSWER_MS),
      });
      answered = true;
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      effect.textContent = `${found.done ? "done: " : "not complete: "}${found.text}`;
      effect.className = found.done ? "plus" : "minus";
    } catch (error) {
      effect.textContent = answered ? `not complete: ${error.message}`
        : `no answer came, so it is not known whether it happened (look at the trading state): ${error.message}`;
      effect.className = "minus";
      yes.disabled = false;
      no.textContent = "Close";
      return;
    }
    yes.hidden = true;
    no.textContent = "Close";
    no.focus();
  };
  dialog.showModal();
  no.focus();
}
