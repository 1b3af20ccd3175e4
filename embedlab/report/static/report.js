"use strict";
// Draws the charts as they come near the window. Plotly lies in the page as gzip in base64.
(() => {
  const MARGIN = "600px";
  // Browsers keep some 16 WebGL scenes alive (phones 8) and drop the oldest without a word.
  const SCENES_AT_MOST = 7;
  // Buttons are named one by one, because the library's own set has one that sends the chart away.
  const BUTTONS = {
    flat: [["zoom2d", "pan2d"], ["resetScale2d"]],
    scene: [["zoom3d", "pan3d", "orbitRotation"], ["resetCameraDefault3d"]],
  };
  // On a phone faces, tiles and matrices are as wide as their captions need, and scroll.
  const LEAST = { faces: 760, tiles: 760, heatmap: 560 };
  const phone = window.matchMedia("(max-width: 760px)");
  const least = (el) => (phone.matches && LEAST[Object.keys(LEAST).find((kind) => el.classList.contains(kind))]) || 0;
  const config = (el) => ({
    displaylogo: false,
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtons: BUTTONS[el.dataset.scene ? "scene" : "flat"],
    plotlyServerURL: "",
    // What is wider than its place must not be fitted into it when the window changes.
    responsive: el.clientWidth >= least(el),
    showSendToCloud: false,
  });
  const charts = [...document.querySelectorAll(".chart")];
  const state = new Map(charts.map((el) => [el, "waiting"]));
  const pending = new Map();
  const failures = [];
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  let library = null;

  const json = (id) => JSON.parse(document.getElementById(id).textContent);

  function plotly() {
    library ??= (async () => {
      const holder = document.getElementById("plotly");
      const bytes = Uint8Array.from(atob(holder.textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      holder.remove();
      if (!window.Plotly) throw new Error("the chart library did not start");
      return window.Plotly;
    })();
    return library;
  }

  // Numbers come as lists, or packed: what they are, and base64.
  const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, i1: Int8Array, u1: Uint8Array };
  function values(axis) {
    if (!axis.bdata) return Array.from(axis);
    const bytes = Uint8Array.from(atob(axis.bdata), (c) => c.charCodeAt(0));
    return Array.from(new KINDS[axis.dtype](bytes.buffer));
  }
  function matrix(z) {
    if (!z.bdata) return z.map(values);
    const [, columns] = z.shape.split(",").map(Number);
    const flat = values(z);
    return Array.from({ length: flat.length / columns }, (_, r) => flat.slice(r * columns, (r + 1) * columns));
  }
  // Names stand in the page once: people and images in one table, to whose rows points refer, words of a picture in
  // a list of its own.
  let table = null;
  function items() {
    if (table) return table;
    const { people, of, items: images } = json("items");
    const whose = values(of);
    return (table = images.map((item, row) => ({ person: people[whose[row]] || item, item })));
  }
  const escaped = (name) => name.replace(/[&<>]/g, (mark) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[mark]);
  const named = (word, { person, item }) =>
    word.replace("\x01", () => escaped(item)).replace("\x02", () => escaped(person));
  function read(el) {
    const made = json(`${el.id}-data`);
    for (const trace of made.data) {
      if (trace.customdata) trace.customdata = values(trace.customdata);
      for (const holder of [trace, trace.marker ?? {}])
        for (const name of ["text", "hovertext", "color"]) {
          const { start, words, at } = holder[name] ?? {};
          if (!words) continue;
          const every = (at ? values(at).map((k) => words[k]) : words).map((word) => start + word);
          holder[name] = trace.customdata ? every.map((word, i) => named(word, items()[trace.customdata[i]])) : every;
        }
    }
    return made;
  }
  // What the library shows as a line of text, without its marks.
  const text = (marked) =>
    new DOMParser().parseFromString(String(marked).replace(/<br>/g, "\n"), "text/html").body.textContent;

  // The key stands below the picture, where it takes nothing of it however many series there are.
  const SHAPES = {
    circle: "M6 0a6 6 0 1 0 .01 0Z", square: "M1 1h10v10H1Z", diamond: "M6 0l6 6-6 6-6-6Z",
    cross: "M4 0h4v4h4v4H8v4H4V8H0V4h4Z", x: "M0 2l2-2 4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4Z",
  };
  const STROKES = { dash: "7 3", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4" };
  function keyed(made) {
    const named = made.data.filter((one) => one.showlegend !== false && one.name && /^(scatter|scatter3d|bar|histogram)$/.test(one.type));
    return named.length > 1 || named.some((one) => one.showlegend) ? named : [];
  }
  function sample(trace) {
    const draw = (name, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
      return made;
    };
    const line = trace.type !== "bar" && (trace.mode ?? "lines").includes("lines");
    const svg = draw("svg", { width: line ? 30 : 14, height: 14, viewBox: line ? "0 0 30 14" : "-1 -1 14 14", "aria-hidden": "true" });
    const one = (value) => (typeof value === "string" ? value : null);
    if (line) {
      const stroke = one(trace.line?.color) ?? "currentColor";
      svg.append(draw("path", { d: "M0 7h30", stroke, "stroke-width": Math.max(2, trace.line?.width ?? 2), "stroke-dasharray": STROKES[trace.line?.dash] ?? "none" }));
      return svg;
    }
    const symbol = trace.type === "bar" || trace.type === "histogram" ? "square" : (one(trace.marker?.symbol) ?? "circle");
    const shade = one(trace.marker?.color) ?? "#6B7280";
    const open = symbol.endsWith("-open");
    const d = SHAPES[symbol.replace("-open", "")] ?? SHAPES.circle;
    svg.append(draw("path", { d, fill: open ? "none" : shade, stroke: open ? shade : "none", "stroke-width": 2 }));
    if (trace.marker?.pattern?.shape) svg.append(draw("path", { d: "M1 8L8 1M4 11l7-7", stroke: "#fff", "stroke-width": 1.5 }));
    return svg;
  }
  function key(el, made) {
    el.parentElement.querySelector(".key")?.remove();
    const named = keyed(made);
    if (!named.length) return;
    const list = document.createElement("ul");
    list.className = "key";
    for (const trace of named) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(sample(trace), text(trace.name));
      const mine = made.data.flatMap((one, i) => (one === trace || (trace.legendgroup && one.legendgroup === trace.legendgroup) ? [i] : []));
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        if (state.get(el) === "drawn") window.Plotly.restyle(el, { visible: on }, mine);
      });
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    }
    el.after(list);
  }

  // The library cuts the title of an axis that is longer than the picture: broken into lines it is whole. How much the
  // labels of ticks will take is not known before it is drawn.
  const pen = document.createElement("canvas").getContext("2d");
  function broken(title, room) {
    const [first, ...rest] = title.split(/ |<br>/);
    const lines = [first];
    for (const word of rest) {
      const longer = `${lines.at(-1)} ${word}`;
      if (pen.measureText(text(longer)).width > room) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines.join("<br>");
  }
  function fit(layout, width) {
    pen.font = `13px ${layout.template.layout.font.family}`;
    for (const [name, { title }] of Object.entries(layout).filter(([one]) => /^[xy]axis\d*$/.test(one)))
      if (title?.text) title.text = broken(title.text, name[0] === "y" ? layout.height / 2 : width - 100);
  }

  // The library hides tilted names that would leave the picture: where there is no room they stand upright.
  function upright({ xaxis }, width) {
    if (!xaxis?.ticktext?.length) return;
    const longest = Math.max(...xaxis.ticktext.map((name) => pen.measureText(text(name)).width));
    if (longest * xaxis.ticktext.length < width - 100) return;
    xaxis.ticktext = xaxis.ticktext.map((name) => broken(name, 100));
    xaxis.tickangle = -90;
  }

  // What other parts of the page add to a picture.
  const dress = [];
  function figure(el) {
    const made = read(el);
    made.layout.template = json("looks")[scheme.matches && !printing ? "dark" : "light"];
    made.layout.height = Number(el.dataset.height);
    made.layout.autosize = el.clientWidth >= least(el);
    if (!made.layout.autosize) made.layout.width = least(el);
    made.layout.showlegend = false;
    made.layout.margin.t = Math.min(made.layout.margin.t, 16);
    fit(made.layout, made.layout.width ?? el.clientWidth);
    if (phone.matches && el.classList.contains("bars")) upright(made.layout, el.clientWidth);
    for (const trace of made.data) if (trace.meta?.halo) trace.line.color = made.layout.template.layout.paper_bgcolor;
    dress.forEach((add) => add(el, made));
    return made;
  }

  const isScene = (made) => made.data.some((trace) => trace.type === "scatter3d");

  const distance = (el) => {
    const box = el.getBoundingClientRect();
    return Math.max(box.top - window.innerHeight, -box.bottom, 0);
  };

  async function makeRoom(Plotly) {
    const scenes = charts.filter((el) => state.get(el) === "drawn" && el.dataset.scene);
    if (scenes.length < SCENES_AT_MOST) return;
    const far = scenes.reduce((a, b) => (distance(a) >= distance(b) ? a : b));
    const source = await Plotly.toImage(far, { format: "png", width: far.clientWidth, height: far.clientHeight });
    Plotly.purge(far);
    const image = document.createElement("img");
    image.src = source;
    image.alt = "";
    far.replaceChildren(image);
    state.set(far, "pictured");
  }

  async function paint(el) {
    try {
      const Plotly = await plotly();
      const made = figure(el);
      if (isScene(made)) {
        el.dataset.scene = "yes";
        await makeRoom(Plotly);
      }
      el.replaceChildren();
      await Plotly.newPlot(el, made.data, made.layout, config(el));
      state.set(el, "drawn");
      key(el, made);
      el.dispatchEvent(new Event("drawn"));
    } catch (error) {
      failures.push(`${el.id}: ${error.message}`);
      state.set(el, "failed");
      const sentence = document.createElement("p");
      sentence.className = "box error";
      sentence.textContent = `This chart could not be drawn: ${error.message}`;
      el.replaceChildren(sentence);
    }
  }

  // One after the other: two scenes that make room at once would both picture the same one.
  let queue = Promise.resolve();
  function draw(el) {
    if (state.get(el) === "drawn" || state.get(el) === "failed") return queue;
    if (!pending.has(el)) {
      queue = queue.then(() => paint(el)).then(() => pending.delete(el));
      pending.set(el, queue);
    }
    return pending.get(el);
  }

  async function drawAll() {
    document.querySelectorAll("details.fold").forEach((el) => (el.open = true));
    for (const el of charts) if (state.get(el) === "waiting") await draw(el);
    await queue;
    const count = (wanted) => charts.filter((el) => state.get(el) === wanted).length;
    return { charts: charts.length, drawn: count("drawn") + count("pictured"), failures };
  }

  async function restyle() {
    if (!window.Plotly) return;
    for (const el of charts) {
      if (state.get(el) !== "drawn") continue;
      const made = figure(el);
      await window.Plotly.react(el, made.data, made.layout, config(el));
    }
  }

  const watcher = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)),
    { rootMargin: MARGIN },
  );
  charts.forEach((el) => watcher.observe(el));
  scheme.addEventListener("change", restyle);

  // Whoever reads on for a few seconds can print at once; the rest is drawn while nothing else is to do.
  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
  function drawRest() {
    const next = charts.find((el) => state.get(el) === "waiting" && !el.closest("details:not([open])"));
    if (next) draw(next).then(() => idle(drawRest));
  }
  window.addEventListener("load", () => setTimeout(() => idle(drawRest), 1500));

  // What is folded stays folded on paper, and is drawn when somebody unfolds it.
  window.addEventListener("beforeprint", () => {
    printing = true;
    if (scheme.matches) restyle();
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    if (scheme.matches) restyle();
  });

  // Whoever follows a link to what is folded sees it unfolded.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let el = target; el; el = el.parentElement) if (el.tagName === "DETAILS") el.open = true;
    target?.scrollIntoView();
  }
  window.addEventListener("hashchange", unfold);
  if (location.hash) unfold();

  // The list of contents is open beside the text, and closed where it would stand before it.
  const wide = window.matchMedia("(min-width: 1080px)");
  const contents = document.querySelector(".contents");
  const place = () => contents.toggleAttribute("open", wide.matches);
  wide.addEventListener("change", place);
  place();
  const links = new Map([...contents.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
  const here = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((a) => a.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  document.querySelectorAll("section[id]").forEach((el) => here.observe(el));
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.removeAttribute("open");
  });

  // The policy lets nothing be fetched, not even from the page itself.
  function blob(address) {
    const [head, body] = [address.slice(0, address.indexOf(",")), address.slice(address.indexOf(",") + 1)];
    const type = head.slice(5).split(/[;,]/)[0];
    if (!head.includes("base64")) return new Blob([decodeURIComponent(body)], { type });
    return new Blob([Uint8Array.from(atob(body), (c) => c.charCodeAt(0))], { type });
  }

  window.embedlab = {
    drawAll, charts, figure, fit, dress, items, read, plotly, values, matrix, text, keyed, blob,
    state: () => Object.fromEntries([...state].map(([el, s]) => [el.id, s])),
  };
})();
