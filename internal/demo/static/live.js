// Keeps a page up to date: asks for it again every data-every milliseconds and
// puts the parts marked data-live in place, without touching anything else on
// the page. It stops when the page no longer says data-every.
"use strict";
(() => {
  const stale = document.getElementById("stale");
  let failures = 0;

  const focusable = (part) => [...part.querySelectorAll("a, button, summary, input, pre, [tabindex]")];

  function replace(part, fresh) {
    if (part.innerHTML === fresh.innerHTML) return;
    const focused = focusable(part).indexOf(document.activeElement);
    const open = [...part.querySelectorAll("details[open]")].map((d) => d.id);
    const scrolled = [...part.querySelectorAll(".scroll")].map((e) => e.scrollLeft);
    part.replaceChildren(...fresh.childNodes);
    part.querySelectorAll("details").forEach((d) => { d.open = open.includes(d.id); });
    part.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolled[i] ?? 0; });
    if (focused >= 0) focusable(part)[focused]?.focus({ preventScroll: true });
  }

  // selecting says that a person is marking text, which a replacement would undo.
  const selecting = () => !getSelection().isCollapsed;

  async function look() {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (!response.ok) throw new Error(response.statusText);
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other) replace(part, other);
    }
    if (fresh.body.dataset.every) document.body.dataset.every = fresh.body.dataset.every;
    else delete document.body.dataset.every;
  }

  // A page with an <offstage-status> is told of news while that is connected, and
  // then looks only when the job's state has changed.
  const told = () => document.querySelector("offstage-status[state]:not([stale])") !== null;
  let state = document.querySelector('[data-part="state"]')?.textContent;
  document.addEventListener("offstage:state", (event) => {
    if (state !== event.detail.state) look().catch(() => {});
    state = event.detail.state;
  });

  async function turn() {
    if (!document.hidden && !selecting() && !told()) {
      try {
        await look();
        failures = 0;
      } catch {
        failures++;
      }
      stale.hidden = failures < 3;
    }
    next();
  }

  function next() {
    const every = Number(document.body.dataset.every);
    if (every) setTimeout(turn, failures ? 2000 : every);
  }

  next();
})();
