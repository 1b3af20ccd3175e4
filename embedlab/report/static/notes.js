"use strict";
// A reader accepts or disputes an answer, says why, and saves that as a small file which `embedlab compare` and
// `embedlab check` read. The notes live in the page until they are saved; nothing is kept elsewhere.
(() => {
  const lines = [...document.querySelectorAll("[data-noted]")];
  if (!lines.length) return;
  const SCHEMA = 1;
  const STANCES = { accepted: "Accept", disputed: "Dispute" };
  const key = ({ question, subject, kind, fingerprint }) => JSON.stringify([question, subject, kind, fingerprint]);
  const made = (tag, parts, ...within) => {
    const one = Object.assign(document.createElement(tag), parts);
    one.append(...within);
    return one;
  };
  let unsaved = false;

  const entries = lines.map((line, i) => {
    const entry = { about: JSON.parse(line.dataset.noted), stance: "", text: "" };
    const words = line.querySelector(".said").textContent.trim();
    const told = made("p", { className: "reader", hidden: true });
    const why = made("textarea", { id: `why-${i}`, rows: 2, maxLength: 500 });
    const buttons = Object.entries(STANCES).map(([stance, text]) => {
      const button = made("button", { type: "button", textContent: text });
      button.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-label", `${text}: ${words}`);
      button.addEventListener("click", () => set(entry, entry.stance === stance ? "" : stance, why.value));
      return [stance, button];
    });
    const summary = made("summary", { textContent: "Note" });
    summary.setAttribute("aria-label", `Note on: ${words}`);
    const label = made("label", { htmlFor: why.id, textContent: "Why" });
    why.addEventListener("input", () => set(entry, entry.stance, why.value));
    line.after(
      told,
      made("details", { className: "noting" }, summary, made("div", { className: "tools" }, ...buttons.map(([, one]) => one)), label, why),
    );
    return Object.assign(entry, { told, why, buttons });
  });

  function set(entry, stance, text) {
    Object.assign(entry, { stance, text });
    unsaved = true;
    show(entry);
  }
  function show(entry) {
    for (const [stance, button] of entry.buttons) button.setAttribute("aria-pressed", String(stance === entry.stance));
    if (entry.why.value !== entry.text) entry.why.value = entry.text;
    const text = entry.text.trim();
    const stance = entry.stance && entry.stance[0].toUpperCase() + entry.stance.slice(1);
    entry.told.hidden = !entry.stance;
    entry.told.textContent = `${stance} by a reader${text ? `: ${text}` : "."}`;
    const count = entries.filter((one) => one.stance).length;
    save.disabled = !count;
    save.textContent = count ? `Save notes (${count})` : "Save notes";
  }

  const save = made("button", { type: "button", textContent: "Save notes", disabled: true });
  const open = made("input", { type: "file", accept: ".json,application/json", id: "open-notes" });
  const said = made("output", {});
  const written = () => ({
    schema: SCHEMA,
    report: document.title,
    notes: entries.filter((one) => one.stance).flatMap(({ about, stance, text }) => about.map((one) => ({ ...one, stance, text: text.trim() }))),
  });
  save.addEventListener("click", () => {
    const blob = new Blob([JSON.stringify(written(), null, 1) + "\n"], { type: "application/json" });
    const link = made("a", { href: URL.createObjectURL(blob), download: "notes.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    unsaved = false;
    said.textContent = "Saved as notes.json: give it to embedlab compare or check with --notes.";
  });

  function load(text) {
    let found = null;
    try {
      found = JSON.parse(text);
      if (found.schema !== SCHEMA) throw new Error();
      found = new Map(found.notes.filter((one) => one.stance in STANCES).map((one) => [key(one), one]));
    } catch {
      said.textContent = "That file holds no reader's notes: choose one that “Save notes” wrote.";
      return;
    }
    let used = 0;
    for (const entry of entries) {
      const notes = entry.about.map((one) => found.get(key(one))).filter(Boolean);
      if (!notes.length) continue;
      used += notes.length;
      Object.assign(entry, { stance: notes[0].stance, text: String(notes[0].text ?? "") });
      show(entry);
    }
    const idle = found.size - used;
    said.textContent = `${used} of ${found.size} notes are of answers of this report${idle ? "; the others are of other answers and were left out" : ""}.`;
  }
  open.addEventListener("change", async () => {
    const [file] = open.files;
    if (file) load(await file.text());
  });
  window.addEventListener("beforeunload", (event) => unsaved && event.preventDefault());

  const label = made("label", { htmlFor: open.id, textContent: "Open notes " });
  document.getElementById("answers").append(made("div", { className: "tools notes" }, save, label, open, said));
  window.embedlab.notes = { written, load };
})();
