"use strict";
// Filter and order of all concepts, in the browser: a thousand cards are there already.
(() => {
  const list = document.getElementById("cards");
  if (!list) return;
  const cards = [...list.children], find = document.getElementById("find"), sort = document.getElementById("sort");
  const chips = [...document.querySelectorAll(".filter .chip")], count = document.getElementById("count");
  const numbers = new Set(["likeness", "prompt"]);
  let state = "";

  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const text = `${card.dataset.name} ${card.dataset.category}`.toLowerCase();
      const fits = state === "" || (state === "serving" ? card.dataset.serving !== "" : card.dataset.state === state);
      card.hidden = !(fits && words.every((word) => text.includes(word)));
      shown += card.hidden ? 0 : 1;
    }
    count.textContent = shown === cards.length ? `${shown} concepts` : `${shown} of ${cards.length} concepts`;
    document.getElementById("nothing").hidden = shown > 0;
  }

  function order() {
    const by = sort.value;
    const compare = numbers.has(by) ? (a, b) => b.dataset[by] - a.dataset[by]
      : by === "at" ? (a, b) => b.dataset.at.localeCompare(a.dataset.at)
      : (a, b) => a.dataset.name.localeCompare(b.dataset.name);
    list.append(...cards.sort(compare));
  }

  function choose(wanted) {
    state = wanted;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.state === state));
    filter();
  }

  find.addEventListener("input", filter);
  sort.addEventListener("change", order);
  for (const chip of chips) chip.addEventListener("click", () => choose(chip.dataset.state));
  document.getElementById("clear").addEventListener("click", () => { find.value = ""; choose(""); });
  filter(); // browsers keep what stood in the field
  if (sort.value !== "name") order();
})();
