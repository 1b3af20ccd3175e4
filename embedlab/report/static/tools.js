"use strict";
// What a reader takes along: pictures as SVG or PNG, numbers as CSV; and tables in another order.
(() => {
  const shown = window.embedlab;
  const button = (text, title, work) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text });
    made.setAttribute("aria-label", title);
    made.addEventListener("click", () => work(made));
    return made;
  };

  // A spreadsheet would take a name such as "=1+1" for a formula.
  const safe = (text) => (/^[=+@\t]/.test(text) || (/^-/.test(text) && !/^-[\d.]/.test(text)) ? `'${text}` : text);
  const quoted = (value) => {
    const text = typeof value === "number" ? String(value) : safe(String(value ?? ""));
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (rows) => rows.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const named = (el, kind) => {
    const words = heading(el).normalize("NFKD").replace(/[^\w]+/g, "-").replace(/^-|-$/g, "").slice(0, 80);
    return `${words || "figure"}.${kind}`;
  };
  const heading = (el) => el.closest("figure").querySelector("strong").textContent;

  // Pictures. What is saved has its heading and its key, which the page writes beside the picture.
  async function picture(el, kind) {
    const Plotly = await shown.plotly();
    const made = shown.figure(el);
    const keys = shown.keyed(made).length;
    const width = Math.max(el.clientWidth, 640);
    const rows = Math.ceil((keys * 170) / width);
    const height = Number(el.dataset.height) + 40 + 22 * rows;
    const escaped = heading(el).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    Object.assign(made.layout, { showlegend: keys > 0, width, height, title: { text: escaped }, autosize: false });
    made.layout.margin = { ...made.layout.margin, t: 52 };
    made.layout.legend = { ...made.layout.legend, y: -0.12, yanchor: "top" };
    shown.fit(made.layout, width);
    const address = await Plotly.toImage(made, { format: kind, width, height, scale: kind === "png" ? 2 : 1 });
    save(shown.blob(address), named(el, kind));
  }

  const ticks = (axis) => (axis?.tickmode === "array" ? new Map(shown.values(axis.tickvals).map((v, i) => [v, shown.text(axis.ticktext[i]).replace(/\n/g, " ")])) : new Map());
  function rowsOf(el) {
    const { data, layout } = shown.figure(el);
    const [across, down] = [ticks(layout.xaxis), ticks(layout.yaxis)];
    const matrix = data.find((trace) => trace.type === "heatmap" && trace.z && trace.hoverinfo !== "skip");
    if (matrix) {
      const z = shown.matrix(matrix.z);
      return [
        ["", ...z[0].map((_, c) => across.get(c) ?? c)],
        ...z.map((row, r) => [down.get(r) ?? r, ...row.map((v) => (Number.isFinite(v) ? v : ""))]),
      ];
    }
    const rows = [["series", "x", "y", "z", "low", "high", "label", "text"]];
    for (const trace of data) {
      if (trace.meta?.ring || (!trace.x && !trace.y) || (trace.hoverinfo === "skip" && trace.fill !== "toself")) continue;
      const [x, y, z, low, high] = [trace.x, trace.y, trace.z, trace.error_y?.arrayminus, trace.error_y?.array].map(
        (axis) => (axis ? shown.values(axis) : null),
      );
      const partner = trace.legendgroup && data.find((one) => one.legendgroup === trace.legendgroup && one.name);
      const series = shown.text(trace.name ?? (partner ? `${partner.name}, interval` : ""));
      const texts = trace.hovertext ?? trace.text;
      for (let i = 0; i < (y ?? x).length; i += 1) {
        if (x?.[i] == null && y?.[i] == null) continue;
        rows.push([
          series, x?.[i] ?? i, y?.[i], z?.[i], low && y[i] - low[i], high && y[i] + high[i],
          trace.type === "bar" ? across.get(Math.round(x[i])) : "",
          shown.text(Array.isArray(texts) ? texts[i] : texts ?? "").replace(/\n/g, "; "),
        ]);
      }
    }
    const used = rows[0].map((_, c) => c < 3 || rows.slice(1).some((row) => row[c] != null && row[c] !== ""));
    return rows.map((row) => row.filter((_, c) => used[c]).map((v) => (Number.isNaN(v) ? "" : v)));
  }

  for (const el of shown.charts) {
    const tools = document.createElement("div");
    tools.className = "tools";
    const title = heading(el);
    const numbers = () => save(new Blob([csv(rowsOf(el))], { type: "text/csv" }), named(el, "csv"));
    tools.append(
      button("SVG", `Save as SVG: ${title}`, () => picture(el, "svg")),
      button("PNG", `Save as PNG: ${title}`, () => picture(el, "png")),
      button("CSV", `Save the numbers as CSV: ${title}`, numbers),
    );
    el.closest("figure").querySelector("figcaption").append(tools);
  }

  // Tables.
  const aside = (cell) => cell.querySelector(".aside");
  const main = (cell) => [...cell.childNodes].filter((node) => node !== aside(cell)).map((node) => node.textContent).join("").trim();
  const number = (text) => {
    const found = text.replace(/,(?=\d{3})/g, "").replace("\u2212", "-").match(/^[<≤>≥~]?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|-?∞)/i);
    if (!found) return NaN;
    return found[1].endsWith("∞") ? (found[1] === "-∞" ? -Infinity : Infinity) : Number(found[1]);
  };
  const words = new Intl.Collator(undefined, { numeric: true });

  function sort(table, column, heads) {
    const body = table.tBodies[0];
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [main(row.cells[column]), row]);
    const missing = ([text]) => text === "n/a" || text === "" || text === "–";
    const there = rows.filter((row) => !missing(row));
    const numeric = there.every(([text]) => !Number.isNaN(number(text)));
    there.sort(([a], [b]) => (numeric ? number(a) - number(b) : words.compare(a, b)) * (up ? 1 : -1));
    body.append(...[...there, ...rows.filter(missing)].map(([, row]) => row));
  }

  async function copy(text, made) {
    const before = made.textContent;
    shown.copied = text;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Where a page from disk may not use the clipboard, the older way works.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    made.textContent = "Copied";
    setTimeout(() => (made.textContent = before), 2000);
  }
  const cell = (one) => main(one) + (aside(one) ? ` (${aside(one).textContent})` : "");
  const rowsOfTable = (table) => csv([...table.rows].map((row) => [...row.cells].map(cell)));

  for (const table of document.querySelectorAll("main .scroll > table:not(.plain)")) {
    if (!table.tHead || !table.tBodies.length) continue;
    const heads = [...table.tHead.rows[0].cells];
    if (table.tBodies[0].rows.length > 1)
      heads.forEach((head, column) => {
        if (!head.textContent.trim()) return;
        const made = document.createElement("button");
        Object.assign(made, { type: "button", className: "sort", textContent: head.textContent });
        made.addEventListener("click", () => sort(table, column, heads));
        head.replaceChildren(made);
      });
    const tools = document.createElement("div");
    tools.className = "tools";
    const title = table.closest(".scroll").getAttribute("aria-label");
    tools.append(button("Copy as CSV", `Copy as CSV: ${title}`, (made) => copy(rowsOfTable(table), made)));
    table.closest(".scroll").before(tools);
  }

  // Text that is there to be taken along.
  for (const one of document.querySelectorAll("[data-copy]")) {
    const tools = document.createElement("div");
    tools.className = "tools";
    const text = () => [...one.querySelectorAll("p, pre")].map((part) => part.textContent).join("\n\n");
    tools.append(button(one.dataset.copy, one.dataset.copy, (made) => copy(text(), made)));
    one.before(tools);
  }
})();
