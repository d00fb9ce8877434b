// Elements and figures. Every value goes in as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  put(made, attributes);
  made.append(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  put(made, attributes);
  made.append(...children);
  return made;
}
function put(made, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
}
export const byId = (id) => document.getElementById(id);

// --- figures: written for people, exact in data-value and in the tooltip ------------------------

// Digits are cut from the exact text, rounded half away from zero: no float comes between.
export function rounded(text, digits) {
  const match = /^([-+]?)(\d+)(?:\.(\d*))?$/.exec(String(text));
  if (!match) return Number(text).toLocaleString("en", { maximumFractionDigits: digits });
  const [, sign, whole, fraction = ""] = match;
  let units = BigInt(whole + fraction.padEnd(digits, "0").slice(0, digits));
  if ((fraction[digits] ?? "0") >= "5") units += 1n;
  const written = units.toString().padStart(digits + 1, "0");
  const front = written.slice(0, written.length - digits).replace(/\B(?=(\d{3})+$)/g, ",");
  const back = digits ? `.${written.slice(-digits)}` : "";
  return (sign === "-" && units > 0n ? "-" : "") + front + back;
}
function exact(value, text, kind, unit = "") {
  return el("span", { class: kind, "data-value": value, title: `${value}${unit}` }, text);
}
export function unknown(text = "not known") { return el("span", { class: "dim" }, text); }
// A profit: with its sign, so that nobody needs to tell colours apart.
export function profit(value, { digits = 2, arrow = false } = {}) {
  if (value === null || value === undefined) return unknown();
  const text = rounded(value, digits), number = Number(value);
  const sign = number > 0 ? "+" : "";
  const shape = !arrow ? "" : number > 0 ? "▲ " : number < 0 ? "▼ " : "";
  return exact(value, `${shape}${sign}${text.replace("-", "−")}`, number > 0 ? "plus" : number < 0 ? "minus" : "", " USDT");
}
export function money(value, digits = 2) {
  if (value === null || value === undefined) return unknown();
  return exact(value, rounded(value, digits).replace("-", "−"), "", " USDT");
}
export function number(value, digits = 8) {
  if (value === null || value === undefined) return unknown("–");
  const text = typeof value === "string" && !/[eE]/.test(value) ? trim(rounded(value, digits)) : Number(value).toLocaleString("en", { maximumSignificantDigits: 5 });
  return exact(value, text.replace("-", "−"), "");
}
const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
export function percent(value, digits = 2, signed = true) {
  if (value === null || value === undefined) return unknown();
  const number = value * 100;
  const text = `${signed && number > 0 ? "+" : ""}${number.toFixed(digits)} %`.replace("-", "−");
  return exact(value, text, signed ? (number > 0 ? "plus" : number < 0 ? "minus" : "") : "");
}
export function when(ms, short = false) {
  if (ms === null || ms === undefined) return "";
  const text = new Date(ms).toISOString();
  return short ? text.slice(5, 16).replace("T", " ") : `${text.slice(0, 16).replace("T", " ")} UTC`;
}
export function instant(ms, short = true) {
  return el("time", { datetime: ms === null || ms === undefined ? null : new Date(ms).toISOString(), title: when(ms), "data-value": ms }, when(ms, short));
}
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "not known";
  if (seconds < 2) return "now";
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
  return `${Math.floor(seconds)} s ago`;
}
export function span(ms) {
  const minutes = Math.round(ms / 60000);
  if (minutes >= 2880) return `${(minutes / 1440).toFixed(1)} d`;
  return minutes >= 120 ? `${(minutes / 60).toFixed(1)} h` : `${minutes} min`;
}

// --- parts of a page ----------------------------------------------------------------------------

export function chip(text, kind = "dim", title = null) { return el("span", { class: `chip ${kind}`, title }, text); }
export function panel(title, width, ...children) {
  return el("section", { class: `panel ${width}`, "aria-label": title }, el("h2", {}, title), ...children);
}
export function scroll(label, ...children) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);
}
export function cell(content, kind = null) { return el("td", { class: kind }, content instanceof Node ? content : String(content ?? "")); }
// heads: [text, kind]; rows: arrays of cells.
export function table(label, heads, rows, nothing) {
  if (!rows.length) return el("p", { class: "dim" }, nothing);
  return scroll(label, el("table", {},
    el("thead", {}, el("tr", {}, heads.map(([text, kind]) => el("th", { class: kind, scope: "col" }, text)))),
    el("tbody", {}, rows.map((row) => row instanceof Node ? row : el("tr", {}, row)))));
}
export function agentLink(name) {
  return name ? el("a", { href: `/agents/${encodeURIComponent(name)}` }, name) : "";
}
export function pairs(entries) {
  return el("dl", { class: "pairs" }, entries.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value ?? "")]));
}
// A limit that is nearly used up is red; progress that is nearly done is not.
export function meter(share, label, { limit = false } = {}) {
  const width = Math.max(0, Math.min(1, share ?? 0)) * 100;
  return el("div", { class: "meter", role: "img", "aria-label": label },
    svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width, height: 8, fill: limit && share > 0.8 ? "var(--minus)" : "var(--accent)" })));
}
// Only pages of this machine are linked: an address comes from a file that may hold anything.
export function ours(address) {
  try {
    const to = new URL(address, location.origin);
    const local = ["127.0.0.1", "localhost", location.hostname].includes(to.hostname);
    return local && ["http:", "https:"].includes(to.protocol) && !to.username ? to.href : null;
  } catch { return null; }
}
export function link(address, text = address, title = null) {
  const safe = address ? ours(address) : null;
  return safe ? el("a", { href: safe, title }, text) : el("span", {}, String(text ?? ""));
}

// --- data ---------------------------------------------------------------------------------------

// A question that gets no answer gives its connection back: a browser opens six to a server.
const ANSWER_MS = 20000;
export async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
  const found = await answer.json();
  if (!answer.ok || found.error) throw Object.assign(new Error(found.error || `answer ${answer.status}`), { absent: answer.status === 404 });
  return found;
}
// Put new content in place without taking the focus or an open fold away. A list stands for its parts.
export function place(target, ...children) {
  const open = [...target.querySelectorAll("details[open]")].map((each) => each.dataset.key);
  const focus = target.contains(document.activeElement) ? document.activeElement.id || document.activeElement.dataset.focus : null;
  target.replaceChildren(...children.flat());
  for (const each of target.querySelectorAll("details[data-key]")) each.open = open.includes(each.dataset.key) || each.open;
  if (focus) (byId(focus) || target.querySelector(`[data-focus="${CSS.escape(focus)}"]`))?.focus({ preventScroll: true });
}
