
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  // ---- all that is folded is opened for the printer, and folded again
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])");
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

  // ---- tables of moves are sorted by a click on a head
  const seconds = (text) => {
    const units = { h: 3600, min: 60, s: 1 };
    const parts = [...text.matchAll(/([\d.]+) (h|min|s)\b/g)];
    return parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit], parts.length ? 0 : -1);
  };
  const table = document.querySelector("table.moves");
  for (const head of table ? all("thead th", table) : []) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const text = (row) => row.cells[head.cellIndex].textContent;
      const timed = /[sedxw]/.test(table.tBodies[0].rows[0].cells[head.cellIndex].className);
      const spelled = new Intl.Collator("en", { numeric: true });
      const order = timed ? (a, b) => seconds(text(a)) - seconds(text(b)) : (a, b) => spelled.compare(text(a), text(b));
      const byNumber = (a, b) => a.dataset.m - b.dataset.m;
      const sorted = all("tbody tr", table).sort((a, b) => (falling ? -1 : 1) * order(a, b) || byNumber(a, b));
      table.tBodies[0].append(...sorted);
    });
  }

  const box = document.querySelector(".filter");
  if (!box) return;
  const timeline = document.querySelector(".timeline");
  const chart = timeline.querySelector(".bars");
  const rows = all("tr[data-m]");
  const bars = all("rect[data-m]", chart);
  const barsOf = rows.map(() => []);
  for (const bar of bars) barsOf[bar.dataset.m].push(bar);
  const turns = all("tr[data-k]");
  const spansOf = turns.map((row) => all(`rect[data-k="${row.dataset.k}"]`, chart));
  box.hidden = false;
  box.addEventListener("submit", (event) => event.preventDefault());

  // ---- filter
  const names = rows.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent.toLowerCase()));
  const search = one("filter");
  const outcome = one("outcome");
  const nodes = turns.map((row) => row.cells[0].textContent.toLowerCase());
  const dim = (parts, out) => {
    const labels = parts.map((part) => part.nextElementSibling).filter((next) => next && next.tagName === "svg");
    for (const part of [...parts, ...labels]) part.classList.toggle("out", out);
  };
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ended = outcome ? outcome.value : "";
    const touched = new Set();
    let kept = 0;
    rows.forEach((row, i) => {
      const wanted = words.every((word) => names[i].some((name) => name.includes(word)));
      const out = !wanted || (ended && row.dataset.o !== ended);
      kept += !out;
      row.classList.toggle("out", out);
      dim(barsOf[i], out);
      if (!out) for (const node of names[i].slice(1)) touched.add(node);
    });
    turns.forEach((row, k) => {
      const named = !ended && words.every((word) => nodes[k].includes(word));
      const meant = nodes.some((node) => words.length && words.every((word) => node.includes(word)));
      const out = !named && (meant || !touched.has(nodes[k]));
      row.classList.toggle("out", out);
      dim(spansOf[k], out);
    });
    one("shown").textContent = kept === rows.length ? "" : `${kept} of ${rows.length} migrations`;
    if (kept < rows.length) table.closest("details").open = true;
  };
  search.addEventListener("input", apply);
  if (outcome) outcome.addEventListener("change", apply);

  // ---- width: from all at once to all readable
  const zoom = one("zoom");
  const least = () => Math.max(300, timeline.clientWidth - chart.previousElementSibling.clientWidth - 2);
  const most = 12000;
  const minor = all(".minor", chart);
  const ticks = all(".tick", chart).length;
  const crowded = () => {
    const hide = chart.clientWidth / ticks < 70;
    for (const tick of minor) tick.style.display = hide ? "none" : "";
  };
  zoom.value = Math.max(0, 100 * Math.log(chart.clientWidth / least()) / Math.log(most / least()));
  zoom.addEventListener("input", () => {
    const middle = (timeline.scrollLeft + timeline.clientWidth / 2) / chart.clientWidth;
    chart.style.flexGrow = 0;
    chart.style.width = `${least() * (most / least()) ** (zoom.value / 100)}px`;
    timeline.scrollLeft = middle * chart.clientWidth - timeline.clientWidth / 2;
    crowded();
  });
  crowded();

  // ---- what a bar says: by mouse, by finger, and with the arrow keys
  const tip = one("tip");
  let lit = [], at = null;
  const told = (i) => {
    const cell = (kind) => rows[i].querySelector(kind)?.textContent ?? "";
    const lines = [
      `${cell("th")}: ${cell(".f")} → ${cell(".g")}`,
      cell(".d") ? `${cell(".s")} to ${cell(".e")}, takes ${cell(".d")}${cell(".x") && `, expected ${cell(".x")}`}`
        : `at ${cell(".e")}`,
      cell(".o"),
      cell(".y"),
    ];
    return lines.filter(Boolean).join("\n");
  };
  const show = (parts, text, near) => {
    for (const part of lit) part.classList.remove("lit");
    lit = parts;
    tip.hidden = !parts.length;
    if (tip.hidden) return;
    for (const part of parts) part.classList.add("lit");
    tip.textContent = text;
    const place = near.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const left = Math.min(Math.max(place.left, 8), wide - tip.offsetWidth - 8);
    const below = place.bottom + 8 + tip.offsetHeight < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? place.bottom + 8 : place.top - tip.offsetHeight - 8}px`;
  };
  const hush = () => { at = null; show([]); };
  const say = (i, near) => { at = i; show([rows[i], ...barsOf[i]], told(i), near); };
  const point = (part) => {
    const { m, k } = part.dataset;
    if (m !== undefined) say(Number(m), part);
    else if (k !== undefined) { at = null; show([turns[k], ...spansOf[k]], turns[k].dataset.told, part); }
    return m !== undefined || k !== undefined;
  };
  chart.addEventListener("pointerover", (event) => {
    if (!point(event.target) && event.pointerType === "mouse") hush();
  });
  chart.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hush(); });
  document.addEventListener("click", ({ target }) => { if (!chart.contains(target) || !(target.dataset.m ?? target.dataset.k)) hush(); });
  timeline.addEventListener("blur", hush);
  timeline.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const order = [...rows.keys()].filter((i) => !rows[i].classList.contains("out"));
    if (!order.length) return;
    const here = order.indexOf(at);
    const next = order[here < 0 ? 0 : (here + step + order.length) % order.length];
    const bar = barsOf[next][0];
    const names = chart.previousElementSibling.clientWidth;
    const place = bar.getBoundingClientRect(), around = timeline.getBoundingClientRect();
    if (place.left < around.left + names) timeline.scrollLeft -= around.left + names - place.left + 20;
    if (place.left > around.right - 60) timeline.scrollLeft += place.left - around.right + 200;
    bar.scrollIntoView({ block: "nearest", inline: "nearest" });
    say(next, bar);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });
})();
