"use strict";
// Draws the charts as they come near the window. Plotly lies in the page as gzip in base64.
(() => {
  const MARGIN = "600px";
  // Browsers keep some 16 WebGL scenes alive (phones 8) and drop the oldest without a word.
  const SCENES_AT_MOST = 7;
  // Buttons are named one by one, because the library's own set has one that sends the chart away.
  const BUTTONS = {
    flat: [["toImage"], ["zoom2d", "pan2d"], ["resetScale2d"]],
    scene: [["toImage"], ["zoom3d", "pan3d", "orbitRotation"], ["resetCameraDefault3d"]],
  };
  const config = (el) => ({
    displaylogo: false,
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtons: BUTTONS[el.dataset.scene ? "scene" : "flat"],
    plotlyServerURL: "",
    responsive: true,
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

  function figure(el) {
    const made = json(`${el.id}-data`);
    made.layout.template = json("looks")[scheme.matches && !printing ? "dark" : "light"];
    made.layout.height = Number(el.dataset.height);
    made.layout.autosize = true;
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

  window.embedlab = { drawAll, state: () => Object.fromEntries([...state].map(([el, s]) => [el.id, s])) };
})();
