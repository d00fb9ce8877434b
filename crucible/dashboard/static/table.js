// A table that sorts by any column and filters by words; figures sort as figures.
import { el, scroll } from "/static/dom.js";

// columns: {name, key, kind, show(row), sort(row)}
export function sortable(label, columns, { sort, descending = true, most = 500, rowKind = () => null, nothing = "" } = {}) {
  let rows = [], by = columns.find((each) => each.key === sort) ?? columns[0], down = descending, limit = most;
  const body = el("tbody"), heads = el("tr"), foot = el("p", { class: "dim small", role: "status" });
  const more = el("button", { type: "button", onclick: () => { limit += most; fill(); } }, "show more");
  for (const column of columns) {
    const button = el("button", { type: "button", onclick: () => { down = by === column ? !down : true; by = column; fill(); } }, column.name);
    heads.append(el("th", { class: column.kind, scope: "col" }, button));
  }
  const value = (row) => { const found = by.sort ? by.sort(row) : row[by.key]; return found === null || found === undefined || found === "" ? null : found; };
  function order(left, right) {
    const a = value(left), b = value(right);
    if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last, either way
    const number = by.kind === "n" || typeof a === "number";
    const found = number ? Number(a) - Number(b) : String(a).localeCompare(String(b));
    // Among equals whoever earned most stands first.
    return (down ? -found : found) || Number(right.result ?? -Infinity) - Number(left.result ?? -Infinity);
  }
  function fill() {
    [...heads.children].forEach((head, place) => {
      const mine = columns[place] === by;
      if (mine) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
      head.firstChild.textContent = columns[place].name + (mine ? (down ? " ↓" : " ↑") : "");
    });
    const shown = [...rows].sort(order).slice(0, limit);
    body.replaceChildren(...shown.map((row) => el("tr", { class: rowKind(row), "data-agent": row.agent }, columns.map((column) => {
      const content = column.show ? column.show(row) : row[column.key];
      return el("td", { class: column.kind }, content instanceof Node ? content : String(content ?? ""));
    }))));
    foot.textContent = rows.length ? `${shown.length} of ${rows.length} shown` : typeof nothing === "function" ? nothing() : nothing;
    more.hidden = shown.length === rows.length;
  }
  const node = el("div", {}, scroll(label, el("table", {}, el("thead", {}, heads), body)), el("div", { class: "row" }, foot, more));
  return { node, set(found) { rows = found; fill(); }, redraw: fill };
}
