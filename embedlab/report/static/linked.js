"use strict";
// One person in every picture: whoever is picked in one, or searched for, gets a ring in all, and Escape clears.
(() => {
  const RING = "#E6007E";
  const shown = window.embedlab;
  const charts = shown.charts.filter((el) =>
    document.getElementById(`${el.id}-data`).textContent.includes('"customdata"'),
  );
  if (!charts.length) return;
  let picked = null;
  const cursors = new Map();

  const linked = (made) => made.data.filter((trace) => trace.customdata && !trace.meta?.ring);
  const points = (made) =>
    linked(made).flatMap((trace) => {
      const [x, y, z] = [trace.x, trace.y, trace.z].map((axis) => axis && shown.values(axis));
      return trace.customdata.map((row, i) => ({ ...shown.items()[row], x: x[i], y: y[i], z: z?.[i], trace }));
    });
  const strength = (point, who) => (who.item && point.item === who.item ? 2 : point.person === who.person ? 1 : 0);

  function ring(made, who) {
    const there = who ? points(made).filter((point) => !point.trace.meta?.tile && strength(point, who)) : [];
    const solid = linked(made).some((trace) => trace.type === "scatter3d");
    const sizes = there.map((point) => (strength(point, who) === 2 ? 24 : solid ? 12 : 16));
    const trace = { x: there.map((p) => p.x), y: there.map((p) => p.y), "marker.size": sizes };
    return solid ? { ...trace, z: there.map((p) => p.z) } : trace;
  }

  const frames = (made, who) =>
    points(made)
      .filter((point) => who && point.trace.meta?.tile && strength(point, who))
      .map(({ x, y, trace, ...rest }) => ({
        type: "rect", x0: x - trace.meta.tile[0] / 2, x1: x + trace.meta.tile[0] / 2, y0: y - trace.meta.tile[1], y1: y,
        line: { color: RING, width: strength({ ...rest }, who) === 2 ? 4 : 2 },
      }));

  // Every picture gets its ring with it, so that one drawn later shows it as well.
  shown.dress.push((el, made) => {
    if (!charts.includes(el)) return;
    const { "marker.size": size, ...at } = ring(made, picked);
    if (linked(made).some((trace) => trace.meta?.tile)) made.layout.shapes = frames(made, picked);
    else
      made.data.push({
        ...at, type: "z" in at ? "scatter3d" : "scatter", mode: "markers", hoverinfo: "skip", showlegend: false,
        meta: { ring: true },
        marker: { symbol: "circle-open", size, color: RING, line: { color: RING, width: 2.5 } },
      });
  });

  async function mark(el, who) {
    if (shown.state()[el.id] !== "drawn") return;
    const made = { data: el.data };
    if (linked(made).some((trace) => trace.meta?.tile))
      await window.Plotly.relayout(el, { shapes: frames(made, who) });
    const at = el.data.findIndex((trace) => trace.meta?.ring);
    if (at >= 0) {
      const found = Object.entries(ring(made, who)).map(([name, value]) => [name, [value]]);
      await window.Plotly.restyle(el, Object.fromEntries(found), [at]);
    }
  }

  // What a study calls people and images.
  const words = document.body.dataset;

  // Which rows of the page's table each picture shows.
  let rows = null;
  const pictures = () =>
    (rows ??= charts.map((el) => new Set(linked(shown.read(el)).flatMap((trace) => trace.customdata))));

  function tell(text) {
    status.textContent = text;
  }

  async function pick(who) {
    const again = who && picked && who.person === picked.person && who.item === picked.item;
    picked = again ? null : who;
    box.value = picked ? picked.item || picked.person : "";
    clear.hidden = !picked;
    document.querySelectorAll("tr.ringed").forEach((row) => row.classList.remove("ringed"));
    if (picked) {
      const names = [picked.person, picked.item].filter(Boolean);
      for (const row of document.querySelectorAll("main table:not(.plain) tbody tr"))
        if ([...row.cells].some((cell) => names.includes(cell.textContent.trim()))) row.classList.add("ringed");
      const mine = shown.items().flatMap(({ person }, row) => (person === picked.person ? [row] : []));
      const items = mine.length;
      const where = pictures().filter((there) => mine.some((row) => there.has(row))).length;
      tell(`${picked.person}: ${items} ${items === 1 ? words.item : words.items} in ${where} ${where === 1 ? "picture" : "pictures"}`);
    } else tell("");
    for (const el of charts) await mark(el, picked);
  }

  function search(text) {
    const asked = text.trim().toLowerCase();
    if (!asked) return pick(null);
    const every = shown.items().slice(1);
    const found =
      every.find((one) => one.person.toLowerCase() === asked) ??
      every.find((one) => one.item.toLowerCase() === asked) ??
      every.find((one) => one.person.toLowerCase().includes(asked)) ??
      every.find((one) => one.item.toLowerCase().includes(asked));
    if (!found) return tell("nobody of that name is in the pictures");
    const byItem = !found.person.toLowerCase().includes(asked);
    picked = null;
    return pick({ person: found.person, item: byItem ? found.item : "" });
  }

  // The pointer: the library tells of points under a mouse; faces, and points under a finger, are found by place.
  const REACH = 22;
  function nearest(el, event) {
    const { xaxis, yaxis } = el._fullLayout;
    const frame = el.querySelector(".main-svg").getBoundingClientRect();
    const [px, py] = [event.clientX - frame.left - xaxis._offset, event.clientY - frame.top - yaxis._offset];
    const [x, y] = [xaxis.p2d(px), yaxis.p2d(py)];
    let best = null;
    let least = event.pointerType === "touch" ? REACH : 0;
    for (const point of points({ data: el.data })) {
      const tile = point.trace.meta?.tile;
      if (tile && Math.abs(point.x - x) < tile[0] / 2 && point.y > y && point.y - tile[1] < y) return point;
      const away = tile ? Infinity : Math.hypot(xaxis.d2p(point.x) - px, yaxis.d2p(point.y) - py);
      if (away < least) [best, least] = [point, away];
    }
    return best;
  }
  for (const el of charts) {
    let down = null;
    let touched = -Infinity;
    el.addEventListener("drawn", () => {
      el.on("plotly_click", ({ points: hit }) => {
        const row = hit[0]?.customdata;
        if (row && !hit[0].data.meta?.tile && performance.now() - touched >= 800) pick(shown.items()[row]);
      });
    });
    el.addEventListener("pointerdown", (event) => (down = event), true);
    el.addEventListener(
      "pointerup",
      (event) => {
        const still = down && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 6;
        if (!still || shown.state()[el.id] !== "drawn" || !el._fullLayout.xaxis) return;
        const found = nearest(el, event);
        if (!found?.item) return;
        touched = performance.now();
        pick({ person: found.person, item: found.item });
      },
      true,
    );
    // The keyboard: arrows go from point to point, Enter picks.
    el.tabIndex = 0;
    el.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (shown.state()[el.id] !== "drawn" || !(step || event.key === "Enter")) return;
      event.preventDefault();
      const every = points({ data: el.data });
      const at = step
        ? ((cursors.get(el) ?? (step > 0 ? -1 : 0)) + step + every.length) % every.length
        : (cursors.get(el) ?? 0);
      cursors.set(el, at);
      const { person, item } = every[at];
      if (!step) return pick({ person, item });
      tell(`${person}: ${item}`);
      mark(el, { person: null, item });
    });
  }

  const form = document.createElement("form");
  form.className = "find";
  form.setAttribute("role", "search");
  const label = document.createElement("label");
  label.textContent = `${words.find} `;
  const box = document.createElement("input");
  Object.assign(box, { type: "search", id: "find", autocomplete: "off", spellcheck: false });
  box.setAttribute("list", "people");
  label.append(box);
  const list = document.createElement("datalist");
  list.id = "people";
  const clear = document.createElement("button");
  Object.assign(clear, { type: "button", textContent: "Clear", hidden: true });
  const status = document.createElement("output");
  form.append(label, list, clear, status);
  document.querySelector("header").append(form);
  box.addEventListener(
    "focus",
    () => list.append(...[...new Set(shown.items().slice(1).map((one) => one.person))].sort().map((name) => new Option(name, name))),
    { once: true },
  );
  box.addEventListener("change", () => search(box.value));
  form.addEventListener("submit", (event) => event.preventDefault());
  clear.addEventListener("click", () => pick(null));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (picked || box.value || cursors.size)) {
      cursors.clear();
      pick(null);
    }
  });
  // A picture whose points have moved takes its ring with them.
  Object.assign(shown, { pick, search, picked: () => picked, ringed: (el) => charts.includes(el) && mark(el, picked) });
})();
