"use strict";
// To and fro between before and after: a slider, and a button that plays it, for pictures whose points know where
// they were. And scenes of one section are seen from one side.
(() => {
  const shown = window.embedlab;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const at = new Map();

  const between = (trace, part) =>
    Object.fromEntries(
      Object.entries(trace.meta.from).map(([axis, packed]) => {
        const [from, to] = [shown.values(packed), trace.meta.to?.[axis] ?? shown.values(trace[axis])];
        return [axis, to.map((end, i) => (Number.isFinite(end) ? from[i] + part * (end - from[i]) : null))];
      }),
    );
  const moving = (made) => made.data.flatMap((trace, i) => (trace.meta?.from ? [i] : []));

  shown.dress.push((el, made) => {
    if (!made.layout.meta?.stages) return;
    // A picture that is drawn anew stays where the reader left it, and does not fit its axes to that.
    for (const i of moving(made)) {
      const trace = made.data[i];
      trace.meta.to = Object.fromEntries(Object.keys(trace.meta.from).map((axis) => [axis, shown.values(trace[axis])]));
      if (at.has(el)) Object.assign(trace, between(trace, at.get(el)));
    }
  });

  async function go(el, part) {
    at.set(el, part);
    if (shown.state()[el.id] !== "drawn") return;
    const them = moving(el);
    const changed = them.map((i) => between(el.data[i], part));
    const axes = Object.keys(changed[0]);
    await window.Plotly.restyle(el, Object.fromEntries(axes.map((axis) => [axis, changed.map((one) => one[axis])])), them);
    await shown.ringed?.(el);
  }

  for (const el of shown.charts) {
    if (!document.getElementById(`${el.id}-data`).textContent.includes('"stages"')) continue;
    const [before, after] = shown.read(el).layout.meta.stages;
    const box = document.createElement("div");
    box.className = "roll";
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: 100 });
    slider.setAttribute("aria-label", `from ${before} to ${after}`);
    const tell = () => slider.setAttribute("aria-valuetext", { 0: before, 100: after }[slider.value] ?? `${slider.value} %`);
    const button = (text, end) => {
      const one = document.createElement("button");
      Object.assign(one, { type: "button", textContent: text });
      one.addEventListener("click", () => play(end));
      return one;
    };
    let playing = 0;
    let busy = Promise.resolve();
    let wanted = null;
    // Scenes take longer to move than a finger: what came meanwhile is one step.
    const follow = (value) => {
      slider.value = value;
      tell();
      if (wanted === null) busy = busy.then(() => { const next = wanted; wanted = null; return go(el, next / 100); });
      wanted = value;
      return busy;
    };
    function play(end) {
      cancelAnimationFrame(playing);
      if (still.matches) return follow(end);
      const [begun, from] = [performance.now(), Number(slider.value)];
      const step = (now) => {
        const part = Math.min(1, (now - begun) / 900);
        follow(Math.round(from + part * (end - from)));
        if (part < 1) playing = requestAnimationFrame(step);
      };
      playing = requestAnimationFrame(step);
    }
    slider.addEventListener("input", () => {
      cancelAnimationFrame(playing);
      follow(Number(slider.value));
    });
    tell();
    box.append(button(before, 0), slider, button(after, 100));
    el.before(box);
  }

  for (const el of shown.charts)
    el.addEventListener("drawn", () => {
      if (!el.dataset.scene) return;
      el.on("plotly_relayout", (change) => {
        const camera = change["scene.camera"];
        if (!camera || shown.turning) return;
        const mine = el.closest("section");
        const others = shown.charts.filter((one) => one !== el && one.dataset.scene && one.closest("section") === mine);
        shown.turning = true;
        Promise.all(others.filter((one) => shown.state()[one.id] === "drawn").map((one) => window.Plotly.relayout(one, { "scene.camera": camera })))
          .finally(() => (shown.turning = false));
      });
    });
})();
