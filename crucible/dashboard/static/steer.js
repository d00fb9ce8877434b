// Orders: named, confirmed, sent with this server's token, and their effect shown.
import { byId } from "/static/dom.js";

const token = document.querySelector("meta[name=crucible-token]").content;
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
    effect.textContent = "ordered; waiting for what happens";
    try {
      const answer = await fetch("/api/control", {
        method: "POST", headers: { "Content-Type": "application/json", "X-Crucible-Token": token },
        body: JSON.stringify({ action, agent, symbol }),
      });
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      effect.textContent = `${found.done ? "done: " : "not complete: "}${found.text}`;
      effect.className = found.done ? "plus" : "minus";
    } catch (error) {
      effect.textContent = `nothing is known to have happened: ${error.message}`;
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
