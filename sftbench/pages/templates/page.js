"use strict";
(() => {
  const root = document.documentElement;
  const make = (tag, attributes = {}, text = "") => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    one.textContent = text;
    return one;
  };

  // ---- theme: the system's, until somebody chooses ------------------------------------------
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  try { root.dataset.theme = localStorage.getItem("sftbench-theme") ?? ""; } catch { /* a file may have no storage */ }
  if (!["light", "dark"].includes(root.dataset.theme)) delete root.dataset.theme;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("sftbench-theme", root.dataset.theme); } catch { /* as above */ }
    name();
  });
  system.addEventListener("change", name);
  name();

  // ---- evidence: what a badge opens stands in a row of its own, as wide as the table ---------
  const rowOf = (details) => details.closest("tr");
  const show = (details) => {
    const row = rowOf(details);
    if (!row || !details.parentElement.matches("td, th")) return;
    const opened = row.nextElementSibling?.classList.contains("opened") ? row.nextElementSibling : null;
    if (details.open && !opened) {
      const next = make("tr", { class: "opened" });
      const field = make("td", { colspan: row.cells.length });
      field.append(details.querySelector(":scope > .panel"));
      next.append(field);
      row.after(next);
    } else if (!details.open && opened) {
      details.append(opened.querySelector(".panel"));
      opened.remove();
    }
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details.evidence")) show(event.target);
  }, true);

  // ---- tables: sort, filter, group -----------------------------------------------------------
  const most = 500;  // rows on the page at first: more take seconds to lay out
  const tables = new Map();
  const numberOf = (field) => (field.dataset.v === undefined ? null : Number(field.dataset.v));
  const compare = (a, b) => a.localeCompare(b, undefined, { numeric: true, sensitivity: "base" });

  class Rows {
    constructor(table, tools) {
      this.table = table;
      this.tools = tools;
      this.keys = JSON.parse(table.dataset.keys);
      this.heads = [...table.tHead.rows[0].cells];
      this.rows = [...table.querySelectorAll(":scope > tbody > tr:not(.group)")];
      this.texts = new Map();
      this.placed = this.rows;  // as the page came
      this.first = { group: table.dataset.grouped, sort: "", search: "", all: "" };
      this.state = { ...this.first };
      this.controls = {};
      this.build();
      this.draw();
    }

    text(row) {
      if (!this.texts.has(row)) this.texts.set(row, row.textContent.toLowerCase());
      return this.texts.get(row);
    }

    key(row, index) { return row.dataset[`k${index}`] ?? ""; }

    control(name, label, element) {
      const wrapper = make("label", {}, label);
      wrapper.append(element);
      this.tools.append(wrapper);
      this.controls[name] = element;
      element.addEventListener(element.tagName === "INPUT" ? "input" : "change", () => this.set({ [name]: element.value }));
    }

    select(name, label, options) {
      const one = make("select");
      for (const [value, text] of options) one.append(make("option", { value }, text));
      this.control(name, label, one);
    }

    build() {
      this.control("search", "Search", make("input", { type: "search", autocomplete: "off" }));
      this.keys.forEach((key, index) => {
        const values = [...new Set(this.rows.map((row) => this.key(row, index)))].sort(compare);
        this.first[`k${index}`] = "";
        if (values.length > 1) this.select(`k${index}`, key, [["", "all"], ...values.map((one) => [`=${one}`, one])]);
      });
      this.select("group", "Group by", [["", "nothing"], ...this.keys.map((key) => [key, key])]);
      const sorts = this.heads.flatMap((head, index) => [[`${index}+`, `${head.textContent}, lowest first`], [`${index}-`, `${head.textContent}, highest first`]]);
      this.select("sort", "Sort by", [["", "as listed"], ...sorts]);
      const reset = make("button", { type: "reset" }, "Reset");
      this.count = make("output");
      this.more = make("button", { type: "button" });
      this.more.addEventListener("click", () => {
        this.set({ all: "1" });
        this.table.parentElement.focus({ preventScroll: true });  // the button itself is gone
      });
      this.tools.append(reset, this.more, this.count);
      this.tools.addEventListener("reset", (event) => { event.preventDefault(); this.set(this.first); });
      this.tools.addEventListener("submit", (event) => event.preventDefault());
      this.tools.hidden = false;
      this.heads.forEach((head, index) => {
        const one = make("button", { type: "button" }, head.textContent);
        if (head.title) one.title = head.title;
        head.replaceChildren(one);
        one.addEventListener("click", () => {
          const [start, other] = this.numbers(index) && head.dataset.first !== "ascending" ? "-+" : "+-";
          this.set({ sort: this.state.sort === `${index}${start}` ? `${index}${other}` : `${index}${start}` });
        });
      });
      this.state = { ...this.first };
    }

    numbers(index) { return this.rows.some((row) => row.cells[index].dataset.v !== undefined); }

    set(changes, keepAddress = false) {
      Object.assign(this.state, changes);
      this.draw();
      if (keepAddress) return;
      const said = Object.entries(this.state).filter(([one, value]) => value !== this.first[one]);
      const query = new URLSearchParams(said).toString();
      history.replaceState(null, "", query ? `#${this.table.id}?${query}` : location.pathname + location.search);
    }

    draw() {
      for (const [one, element] of Object.entries(this.controls)) {
        if (element.value !== this.state[one]) element.value = this.state[one];
      }
      const words = this.state.search.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = this.keys.map((_, index) => this.state[`k${index}`]);
      const shown = this.rows.filter((row) => wanted.every((value, index) => !value || `=${this.key(row, index)}` === value)
        && words.every((word) => this.text(row).includes(word)));
      const whole = this.sorted(shown);
      const sorted = this.state.all ? whole : whole.slice(0, most);
      const order = `${this.state.group} ${this.state.sort}`;
      if (order !== (this.order ?? `${this.first.group} `) || sorted.length !== this.placed.length
        || sorted.some((row, place) => row !== this.placed[place])) this.place(sorted);
      this.order = order;
      this.placed = sorted;
      const index = parseInt(this.state.sort, 10);
      this.heads.forEach((head, place) => {
        if (place === index) head.setAttribute("aria-sort", this.state.sort.endsWith("-") ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
        if (head.dataset.hiddenBy) this.table.classList.toggle(`hide-${place + 1}`, head.dataset.hiddenBy === this.state.group);
      });
      this.more.hidden = sorted.length === whole.length;
      this.more.textContent = `Show all ${whole.length}`;
      const first = this.more.hidden ? "" : `, the first ${most} shown`;
      this.count.textContent = `${shown.length} of ${this.rows.length} rows${first}`;
    }

    sorted(rows) {
      const index = parseInt(this.state.sort, 10);
      if (Number.isNaN(index) || !this.heads[index]) return rows;
      const sign = this.state.sort.endsWith("-") ? -1 : 1;
      const isNumber = this.numbers(index);
      const value = new Map(rows.map((row) => [row, isNumber ? numberOf(row.cells[index]) : row.cells[index].textContent]));
      return [...rows].sort((a, b) => {
        const [x, y] = [value.get(a), value.get(b)];
        if (x === null || y === null) return (x === null) - (y === null);  // what is missing comes last
        return sign * (isNumber ? x - y : compare(x, y));
      });
    }

    place(rows) {
      const index = this.keys.indexOf(this.state.group);
      const groups = new Map();
      for (const row of rows) {
        const key = index < 0 ? "" : this.key(row, index);
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push(row);
      }
      const bodies = [...groups].map(([key, each]) => {
        const body = make("tbody");
        if (index >= 0) {
          const head = make("tr", { class: "group" });
          head.append(make("th", { colspan: this.heads.length, scope: "rowgroup" }, key));
          body.append(head);
        }
        for (const row of each) {
          const opened = row.nextElementSibling?.classList.contains("opened") ? row.nextElementSibling : null;
          body.append(row, ...(opened ? [opened] : []));
        }
        return body;
      });
      // An evidence row of a row that is filtered out goes back to where it belongs.
      const kept = new Set(rows);
      for (const row of this.rows) {
        if (!kept.has(row)) for (const one of row.querySelectorAll("details.evidence[open]")) { one.open = false; show(one); }
      }
      // The heading stays in the page, so that its button keeps the keyboard.
      for (const body of [...this.table.tBodies]) body.remove();
      this.table.append(...bodies);
    }

    unfilter() { this.set({ ...this.first, group: this.state.group, sort: this.state.sort, all: "1" }, true); }
  }

  for (const tools of document.querySelectorAll("form.tools")) {
    const table = document.getElementById(tools.dataset.for);
    tables.set(table.id, new Rows(table, tools));
  }

  // ---- links to a place on this page -----------------------------------------------------------
  const elementOf = (id) => {
    const found = document.getElementById(id);
    if (found) return found;
    for (const one of tables.values()) {  // rows that a filter has taken off the page
      for (const row of one.rows) {
        const inside = row.id === id ? row : row.querySelector(`[id="${CSS.escape(id)}"]`);
        if (inside) { one.unfilter(); return inside; }
      }
    }
    return null;
  };
  const reveal = () => {
    const address = location.hash.slice(1);
    const [id, query] = address.split("?");
    if (query !== undefined && tables.has(id)) {
      const one = tables.get(id);
      one.set({ ...one.first, ...Object.fromEntries([...new URLSearchParams(query)].filter(([key]) => key in one.first)) }, true);
      return;
    }
    for (const one of document.querySelectorAll("tr.found")) one.classList.remove("found");
    let found = null;
    try { found = id ? elementOf(decodeURIComponent(id)) : null; } catch { return; }
    if (!found) return;
    const evidence = found.matches("tr") ? found.querySelector(":scope > * > details.evidence") : null;
    const panels = [];
    for (let one = evidence ?? found; one; one = one.parentElement) if (one.tagName === "DETAILS") panels.push(one);
    for (const one of panels.reverse()) { one.open = true; if (one.matches(".evidence")) show(one); }
    if (found.matches("tr")) found.classList.add("found");
    found.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
