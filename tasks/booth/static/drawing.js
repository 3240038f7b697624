"use strict";
// Drawing: what is asked for, how far it is, and what came of it.
(() => {
  const form = byId("drawing");
  if (!form) return;
  const concept = byId("concept").dataset.concept, list = byId("drawings"), problems = byId("drawing-problems");
  const prompt = byId("prompt");
  const followed = new Set();

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const versions = [byId("version").value];
    if (byId("other").value !== "-") versions.push(byId("other").value);
    const asked = {
      prompt: prompt.value, negative_prompt: byId("negative").value, versions,
      count: byId("count").valueAsNumber, seed: byId("seed").valueAsNumber,
    };
    tell(problems, []);
    try {
      const drawing = await ask("POST", `/c/${concept}/drawings`, asked);
      tell(problems, drawing.hints, "hint");
      show(drawing);
      follow(drawing.id);
    } catch (error) {
      tell(problems, error.problems ?? [String(error)]);
    }
  });

  byId("dice").addEventListener("click", () => {
    byId("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  });

  for (const chip of document.querySelectorAll("[data-prompt]")) {
    chip.addEventListener("click", () => { prompt.value = chip.dataset.prompt; prompt.focus(); });
  }
  for (const chip of document.querySelectorAll("[data-word]")) {
    chip.addEventListener("click", () => {
      const { selectionStart: start, selectionEnd: end, value } = prompt;
      const at = document.activeElement === prompt || start !== end ? [start, end] : [value.length, value.length];
      const before = value.slice(0, at[0]), after = value.slice(at[1]);
      const gap = before && !/\s$/.test(before) ? " " : "";
      prompt.value = before + gap + chip.dataset.word + (after && !/^\s/.test(after) ? " " : "") + after;
    });
  }
  byId("find-word")?.addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const chip of byId("all-words").children) chip.hidden = !chip.dataset.word.includes(wanted);
  });
  byId("shown-version")?.addEventListener("change", () => {
    location.assign(`?version=${byId("shown-version").value}#gallery`);
  });

  /** A drawing as it stands; one that is shown already is brought up to date. */
  function show(drawing) {
    const element = render(drawing), before = byId(`drawing-${drawing.id}`);
    if (before) before.replaceWith(element);
    else list.prepend(element);
  }

  function render(drawing) {
    const over = ["done", "failed", "stopped"].includes(drawing.state);
    const words = { waiting: drawing.ahead ? `waiting, ${drawing.ahead} before it` : "waiting", failed: "failed", stopped: "stopped", done: "" };
    const said = drawing.state === "drawing" ? drawing.note || `${drawing.done} of ${drawing.total} drawn` : words[drawing.state];
    const again = make("button", { type: "button", class: "link", onclick: () => repeat(drawing) }, "use again");
    const stop = make("button", { type: "button", class: "link", onclick: () => ask("DELETE", `/drawings/${drawing.id}`).catch(() => {}) }, "stop");
    return make("article", { class: "drawing", id: `drawing-${drawing.id}`, "data-state": drawing.state },
      make("div", { class: "row" },
        make("p", {}, make("q", {}, drawing.prompt), " ",
          make("span", { class: "dim" }, `seed ${drawing.seed}${drawing.negative_prompt ? `, not: ${drawing.negative_prompt}` : ""}`)),
        make("p", { class: "dim" }, said, said ? " " : "", over ? again : stop)),
      drawing.problems.length ? make("div", {}, ...drawing.problems.map((problem) => make("p", { class: "notice bad" }, problem))) : null,
      over ? null : make("progress", { max: drawing.total, ...(drawing.done ? { value: drawing.done } : {}), "aria-label": "pictures drawn" }),
      drawing.state === "failed" && !drawing.sides.some((side) => side.pictures.length) ? null
        : make("div", { class: "sides" }, ...drawing.sides.map((side) => renderSide(drawing, side, over))));
  }

  function renderSide(drawing, side, over) {
    const figures = side.pictures.map((address, number) => make("figure", {},
      make("a", { href: address, target: "_blank", rel: "noopener" },
        make("img", { src: address, alt: `Picture ${number + 1} of ${drawing.prompt}, made by AI`, decoding: "async" })),
      make("figcaption", {}, make("span", { class: "ai", title: "Made by AI; the file says so" }, "AI"),
        make("a", { href: `${address}?save=true`, download: true }, "save"))));
    const missing = over ? 0 : drawing.count - side.pictures.length;
    for (let number = 0; number < missing; number++) figures.push(make("figure", {}, make("span", { class: "waiting" })));
    return make("div", { class: "side" }, make("h3", {}, side.called), make("div", { class: "grid" }, ...figures));
  }

  function repeat(drawing) {
    prompt.value = drawing.prompt;
    byId("negative").value = drawing.negative_prompt;
    byId("count").value = drawing.count;
    byId("seed").value = drawing.seed;
    form.scrollIntoView();
  }

  async function follow(id) {
    if (followed.has(id)) return;
    followed.add(id);
    for (let failures = 0; failures < 10;) {
      await new Promise((later) => setTimeout(later, 500));
      try {
        const drawing = await ask("GET", `/drawings/${id}`);
        show(drawing);
        if (["done", "failed", "stopped"].includes(drawing.state)) break;
        failures = 0;
      } catch { failures++; }
    }
    followed.delete(id);
  }

  ask("GET", `/c/${concept}/drawings`).then((drawings) => {
    for (const drawing of drawings.reverse()) {
      show(drawing);
      if (["waiting", "drawing"].includes(drawing.state)) follow(drawing.id);
    }
  }).catch(() => {});
})();
