"use strict";
// A word of the trade says what it means under the pointer, at the keyboard's focus, and at the first tap; a click,
// Enter and the second tap lead to its place in the list, as they do without this script.
(() => {
  const tip = document.createElement("div");
  Object.assign(tip, { id: "meaning", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.querySelector("main").append(tip);
  let shown = null;
  let leaving = 0;
  let tapped = null;

  function show(word) {
    clearTimeout(leaving);
    if (shown === word) return;
    hide();
    const meaning = document.getElementById(decodeURIComponent(word.hash.slice(1)))?.querySelector("dd");
    if (!meaning) return;
    tip.textContent = meaning.textContent;
    tip.hidden = false;
    shown = word;
    word.setAttribute("aria-describedby", "meaning");
    const at = word.getClientRects()[0];
    const width = document.documentElement.clientWidth;
    const below = at.bottom + tip.offsetHeight + 8 < window.innerHeight;
    tip.style.left = `${Math.max(8, Math.min(at.left, width - tip.offsetWidth - 8)) + window.scrollX}px`;
    tip.style.top = `${(below ? at.bottom + 4 : at.top - tip.offsetHeight - 4) + window.scrollY}px`;
  }
  function hide() {
    clearTimeout(leaving);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  }
  // Whoever moves the pointer onto the meaning can read on there.
  const leave = () => (leaving = setTimeout(hide, 200));

  const word = (event) => (event.target instanceof Element ? event.target.closest("a.term") : null);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    if (tip.contains(event.target)) clearTimeout(leaving);
    else if (word(event)) show(word(event));
  });
  document.addEventListener("pointerout", (event) => {
    if (event.pointerType !== "touch" && (word(event) || tip.contains(event.target))) leave();
  });
  document.addEventListener("focusin", (event) => (word(event) ? show(word(event)) : hide()));
  document.addEventListener("pointerdown", (event) => {
    tapped = event.pointerType === "touch" ? (shown === word(event) ? null : word(event)) : null;
    if (!word(event) && !tip.contains(event.target)) hide();
  });
  document.addEventListener("click", (event) => {
    if (!word(event)) return;
    if (tapped === word(event)) event.preventDefault();
    if (event.defaultPrevented) show(word(event));
    else hide();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();
