"use strict";
const cards = [...document.querySelectorAll(".concept")];
const search = document.getElementById("search");
const state = document.getElementById("state");
const order = document.getElementById("order");
const found = document.getElementById("found");
const list = document.getElementById("concepts");
const orders = {
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
  newest: (a, b) => b.dataset.trained.localeCompare(a.dataset.trained),
  clip_i: (a, b) => a.dataset.clipI - b.dataset.clipI,
  clip_t: (a, b) => a.dataset.clipT - b.dataset.clipT,
};
function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const wanted = words.every((word) => card.dataset.words.includes(word));
    const fits = state.value === "" || (state.value === "serving" ? card.dataset.serving === "yes" : card.dataset.state === state.value);
    card.hidden = !(wanted && fits);
    shown += card.hidden ? 0 : 1;
  }
  found.textContent = shown === cards.length ? `${cards.length} concepts` : `${shown} of ${cards.length} concepts`;
}
function sort() {
  list.append(...[...cards].sort(orders[order.value]));
}
search.addEventListener("input", show);
state.addEventListener("change", show);
order.addEventListener("change", sort);
document.getElementById("filter").hidden = false;
show();
