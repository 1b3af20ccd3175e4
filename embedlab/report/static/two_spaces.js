// Two spaces of the same images: what a lasso takes in one is marked in both, and told to Python.
// points holds x and y of the first space, then of the second, from 0 to 1; chosen the rows.
const NEAR = 9, DOT = 2.6, PLAIN = "#6B7280", STANDS_OUT = "#D55E00";

function made(tag, parent, style, text) {
  const one = document.createElement(tag);
  Object.assign(one.style, style);
  if (text !== undefined) one.textContent = text;
  return parent.appendChild(one);
}

function inside(path, x, y) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [xi, yi] = path[i], [xj, yj] = path[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function render({ model, el }) {
  const points = floats(model.get("points")), names = model.get("names");
  const n = names.length;
  const marked = () => {
    const found = new Uint8Array(n);
    for (const k of model.get("chosen")) found[k] = 1;
    return found;
  };
  let chosen = marked(), under = -1, path = null, drawnIn = -1;

  const root = made("div", el, { maxWidth: "1100px", outlineOffset: "4px" });
  root.className = "embedlab-linked";
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", model.get("titles").join("; "));
  const grid = made("div", root, { display: "grid", gridTemplateColumns: "1fr 1fr", gap: "12px" });
  const canvases = model.get("titles").map((title) => {
    const side = made("div", grid, { minWidth: "0" });
    made("div", side, { fontSize: "13px", marginBottom: "4px" }, title);
    return made("canvas", side, {
      width: "100%", height: "400px", border: "1px solid rgba(128,128,128,0.5)", cursor: "crosshair",
      touchAction: "none", boxSizing: "border-box",
    });
  });
  const line = made("div", root, { fontSize: "13px", minHeight: "1.5em", marginTop: "4px" });
  line.setAttribute("aria-live", "polite");

  function place(space, k, canvas) {
    const room = 10, wide = canvas.clientWidth - 2 * room, high = canvas.clientHeight - 2 * room;
    return [room + points[2 * n * space + k] * wide, room + (1 - points[2 * n * space + n + k]) * high];
  }

  function draw() {
    const some = chosen.includes(1), ratio = window.devicePixelRatio || 1;
    canvases.forEach((canvas, space) => {
      canvas.width = canvas.clientWidth * ratio;
      canvas.height = canvas.clientHeight * ratio;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      // The chosen ones last, so that no others hide them.
      for (const mark of some ? [0, 1] : [0]) {
        pen.fillStyle = mark ? STANDS_OUT : PLAIN;
        pen.globalAlpha = mark ? 1 : some ? 0.25 : 0.8;
        for (let k = 0; k < n; k++) {
          if (chosen[k] !== mark) continue;
          pen.beginPath();
          pen.arc(...place(space, k, canvas), DOT, 0, 2 * Math.PI);
          pen.fill();
        }
      }
      pen.globalAlpha = 1;
      if (under >= 0) {
        pen.strokeStyle = STANDS_OUT;
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(...place(space, under, canvas), 3 * DOT, 0, 2 * Math.PI);
        pen.stroke();
      }
      if (path && drawnIn === space) {
        pen.strokeStyle = PLAIN;
        pen.setLineDash([4, 3]);
        pen.beginPath();
        path.forEach((at, i) => (i ? pen.lineTo(...at) : pen.moveTo(...at)));
        pen.stroke();
      }
    });
    const count = chosen.reduce((sum, one) => sum + one, 0);
    line.textContent = `${count.toLocaleString("en")} ${model.get("told")}${under >= 0 ? ` · ${names[under]}` : ""}`;
  }

  function choose(rows, add) {
    const next = add ? chosen.slice() : new Uint8Array(n);
    for (const k of rows) next[k] = 1;
    chosen = next;
    model.set("chosen", [...next.keys()].filter((k) => next[k]));
    model.save_changes();
    draw();
  }

  function nearest(space, canvas, [x, y]) {
    let best = -1, far = NEAR * NEAR;
    for (let k = 0; k < n; k++) {
      const [px, py] = place(space, k, canvas), apart = (px - x) ** 2 + (py - y) ** 2;
      if (apart < far) [best, far] = [k, apart];
    }
    return best;
  }

  canvases.forEach((canvas, space) => {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
    };
    // A busy browser tells several moves as one event, which would cut corners off.
    const every = (event) => {
      const told = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      return told.length ? told : [event];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      [path, drawnIn] = [[at(event)], space];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (path && drawnIn === space) path.push(...every(event).map(at));
      else under = nearest(space, canvas, at(event));
      draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!path) return;
      const [drawn, first] = [path, path[0]];
      path = null;
      const moved = drawn.some(([x, y]) => Math.hypot(x - first[0], y - first[1]) > 4);
      const one = moved ? -1 : nearest(space, canvas, first);
      const rows = moved
        ? [...names.keys()].filter((k) => inside(drawn, ...place(space, k, canvas)))
        : one >= 0 ? [one] : [];
      choose(rows, event.shiftKey);
    });
    canvas.addEventListener("pointerleave", () => {
      under = -1;
      draw();
    });
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    path = null;
    choose([], false);
  });
  const heard = () => {
    chosen = marked();
    draw();
  };
  model.on("change:chosen", heard);
  const seen = new ResizeObserver(draw);
  seen.observe(grid);
  return () => {
    seen.disconnect();
    model.off("change:chosen", heard);
  };
}

export default { render };
