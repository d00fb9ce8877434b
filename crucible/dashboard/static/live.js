import { byId, el } from "/static/dom.js";

// What the server sends each second, and how old it is. A page that hears nothing says so.
const QUIET_MS = 3000;
const listeners = new Set();
export const state = { heard: 0, opened: Date.now(), trouble: "" };
let source = null, retry = 0;

export function onDigest(listener) { listeners.add(listener); }
export function isFresh() { return !state.trouble && Date.now() - state.heard < QUIET_MS; }

function tell(changed) { for (const listener of listeners) listener(changed, state); }

// A browser opens six connections to a server, all its tabs together: a tab that nobody looks at holds none.
export function start() {
  stop();
  if (document.hidden) return;
  source = new EventSource("/api/stream");
  source.onmessage = (event) => {
    let parts;
    try { parts = JSON.parse(event.data); } catch { return; }
    state.heard = Date.now();
    state.trouble = parts.error || (parts.error === "" ? "" : state.trouble);
    Object.assign(state, parts);
    tell(parts);
  };
  // The browser tries again by itself while the server is away; a server that refuses is asked anew.
  source.onerror = () => {
    if (source?.readyState === EventSource.CLOSED) { stop(); retry = setTimeout(start, 2000); }
  };
}
function stop() {
  clearTimeout(retry);
  source?.close();
  source = null;
}
document.addEventListener("visibilitychange", () => {
  stop();
  if (document.hidden) return;
  state.opened = Date.now();
  start();
});
setInterval(() => { if (!isFresh()) tell({}); }, 500);

// What an address names is not here: said instead of a view without figures.
function absent(text) {
  state.absent = true;
  byId("view").replaceChildren(el("h1", {}, "Not here"), el("p", { role: "status" }, text));
}

// Load again when something changed, at most every `ms`, or every `ms` where `keys` is null: what is not in the
// digest changes unannounced. A hidden page waits until it is looked at.
export function refresh(load, ms, keys = ["changes", "market"]) {
  let due = true, busy = false, last = 0, shown = false;
  const step = async () => {
    if (!(due || keys === null) || busy || document.hidden || Date.now() - last < ms) return;
    due = false; busy = true; last = Date.now();
    try {
      await load();
      state.failed = "";
      shown = true;
      // What was not there when the page was opened is there now.
      if (state.absent) location.reload();
    } catch (error) {
      due = true;
      if (error.absent && !shown) absent(error.message);
      else state.failed = error.message;
    }
    finally { busy = false; }
  };
  onDigest((parts) => { if (keys?.some((key) => key in parts)) due = true; });
  setInterval(step, Math.min(ms, 500));
  step();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) due = true; step(); });
  return { now() { due = true; last = 0; return step(); } };
}
