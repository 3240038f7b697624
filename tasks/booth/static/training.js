"use strict";
// How far a concept's training is, and the button that begins one.
(() => {
  const button = byId("train"), progress = byId("progress");
  if (!button) return;
  const address = `/c/${byId("concept").dataset.concept}/training`, possible = !button.disabled;
  let wasRunning = false;

  function show(note) {
    const running = note.state === "waiting" || note.state === "training";
    button.disabled = running || !possible;
    if (note.state === "none") return running;
    const parts = [];
    if (running && !note.work) parts.push(make("p", {}, note.state === "waiting" ? "Waiting for its turn …" : "Getting ready …"), make("progress", {}));
    if (note.work) {
      const work = note.work, counted = work.total ? `: ${work.done} of ${work.total} ${work.unit}` : " …";
      parts.push(make("p", {}, `${work.title}${counted}`, make("span", { class: "dim" }, [work.note, work.left].filter(Boolean).map((said) => `, ${said}`).join(""))));
      parts.push(make("progress", { max: work.total || 1, ...(work.total ? { value: work.done } : {}), "aria-label": work.title }));
    }
    if (note.state === "done") parts.push(make("p", { class: "notice" }, `Trained: ${note.said}.`));
    if (note.state === "failed") parts.push(make("p", { class: "notice bad" }, `The training failed: ${note.said}`));
    if (note.lines?.length) parts.push(make("ol", { class: "steps dim" }, ...note.lines.map((line) => make("li", {}, line))));
    progress.replaceChildren(...parts);
    progress.dataset.state = note.state;
    return running;
  }

  async function watch() {
    try {
      const running = show(await ask("GET", address));
      if (running) { wasRunning = true; setTimeout(watch, 1500); }
      else if (wasRunning && progress.dataset.state === "done") location.reload();
    } catch { setTimeout(watch, 5000); }
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    try { await ask("POST", address, {}); watch(); }
    catch (error) { tell(progress, error.problems ?? [String(error)]); button.disabled = !possible; }
  });
  watch();
})();
