// Charts by plotly, which is loaded where one is drawn, and drawn anew when the colours of the system change.
import { el, svg } from "/static/dom.js";

// A map library within plotly writes its styles into the document unless an element of this name is there; the
// policy forbids that, and no map is drawn. Of plotly's own styles the sheet of the page says that they are there.
const MAPS = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
const SOURCE = "/static/plotly.min.js";
let loading = null;
function plotly() {
  loading ??= new Promise((done, failed) => {
    document.head.append(el("meta", { id: MAPS }));
    const script = el("script", { src: SOURCE });
    script.onload = () => done(window.Plotly);
    script.onerror = () => { loading = null; failed(new Error("plotly is not there")); };
    document.head.append(script);
  });
  return loading;
}
const drawn = new Map();
export function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }
export const CYCLE = ["#3b82d6", "#e08a1e", "#8b63d9", "#1ba39c", "#c74f86", "#7d8a2e", "#8a6d5a"];

// It is fetched while the figures are asked for, and run when they stand: reading it takes a moment.
let fetched = false;
export function chart(label, size = "") {
  if (!fetched) document.head.append(el("link", { rel: "preload", as: "script", href: SOURCE }));
  fetched = true;
  return el("div", { class: `chart ${size}`, role: "img", "aria-label": label });
}
// The lines at once, without axes: plotly is large, and takes its place when it has been read.
export function sketch(target, lines) {
  if (window.Plotly || target.querySelector("svg")) return;
  const all = lines.flatMap(({ y }) => y.filter((value) => value !== null));
  const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
  const made = svg("svg", { class: "sketch", viewBox: "0 0 1000 300", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const { y, shade, dash } of lines) {
    const points = y.map((value, place) => value === null ? null : `${(place / Math.max(1, y.length - 1) * 1000).toFixed(1)},${(290 - (value - low) / span * 280).toFixed(1)}`);
    made.append(svg("polyline", { points: points.filter(Boolean).join(" "), fill: "none", stroke: shade, "stroke-width": 2, "stroke-dasharray": dash, "vector-effect": "non-scaling-stroke" }));
  }
  target.replaceChildren(made);
}
// `make` gives traces and layout; it is called again for other colours.
export async function draw(target, make) {
  drawn.set(target, make);
  if (!window.Plotly) await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted, 120)));
  const Plotly = await plotly();
  if (drawn.get(target) !== make) return;
  target.querySelector(".sketch")?.remove();
  const { traces, layout = {} } = make();
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  const merged = {
    margin: { l: 8, r: 8, t: 6, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("dim"), size: 11, family: "system-ui, sans-serif" }, hovermode: "x unified", showlegend: true,
    legend: { orientation: "h", y: 1.12, x: 0 }, hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("text") } },
    dragmode: false, uirevision: "keep", ...layout,
  };
  for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis/.test(key))]))
    merged[name] = { ...axis, ...(layout[name] ?? {}) };
  await Plotly.react(target, traces, merged, { displayModeBar: false, responsive: true });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [target, make] of [...drawn]) {
    if (target.isConnected) draw(target, () => make()); else drawn.delete(target);
  }
});
