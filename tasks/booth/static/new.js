"use strict";
// A new concept: pictures are brought as soon as they are dropped, and looked at each time something changes.
(() => {
  const list = byId("brought"), drop = byId("drop"), form = byId("new"), status = byId("status"), others = byId("others");
  const pictures = new Map(); // number: {file, element}
  let draft = null, replaced = null, bringing = 0, turn = 0, timer = null;

  const fields = () => Object.fromEntries(new FormData(form));
  const beginDraft = () => (draft ??= ask("POST", "/drafts", {}).then((said) => said.id));

  async function bring(file, before = null) {
    bringing++;
    const element = card(file);
    if (before) before.replaceWith(element); else list.append(element);
    try {
      const id = await beginDraft();
      const said = await ask("PUT", `/drafts/${id}/files?name=${encodeURIComponent(file.name)}`, file);
      pictures.set(said.number, { file, element });
      element.dataset.number = said.number;
      note(element, []);
    } catch (error) {
      note(element, error.problems ?? [String(error)], "bad");
    } finally {
      bringing--;
      later();
    }
  }

  function card(file) {
    const preview = make("img", { alt: `Brought: ${file.name}` });
    preview.addEventListener("error", () => preview.replaceWith(make("span", { class: "blank" }, "no preview of this kind of file")));
    preview.addEventListener("load", () => URL.revokeObjectURL(preview.src));
    preview.src = URL.createObjectURL(file);
    const element = make("li", {}, preview, make("strong", {}, file.name), make("div", { class: "notes" }, make("p", { class: "said dim" }, "bringing …")),
      make("p", { class: "actions" },
        make("button", { type: "button", class: "button", onclick: () => leaveOut(element) }, "Leave out"),
        make("button", { type: "button", class: "button", onclick: () => { replaced = element; byId("replacement").click(); } }, "Replace")));
    return element;
  }

  function note(element, sentences, kind = "") {
    element.classList.toggle("bad", kind === "bad");
    element.classList.toggle("good", kind === "good");
    element.querySelector(".notes").replaceChildren(...sentences.map((sentence) => make("p", { class: `said ${kind === "good" ? "hint" : kind}` }, sentence)));
  }

  async function forget(element) {
    const number = element.dataset.number;
    if (!number) return;
    pictures.delete(number);
    await ask("DELETE", `/drafts/${await draft}/files/${number}`).catch(() => {});
  }

  async function leaveOut(element) {
    element.remove();
    await forget(element);
    later();
  }

  byId("replacement").addEventListener("change", async (event) => {
    const [file] = event.target.files, before = replaced;
    event.target.value = "";
    if (!file || !before) return;
    await forget(before);
    bring(file, before);
  });

  byId("files").addEventListener("change", (event) => {
    for (const file of event.target.files) bring(file);
    event.target.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  drop.addEventListener("drop", (event) => { for (const file of event.dataTransfer.files) bring(file); });
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault()); // beside the target: no navigation

  /** Look at it a moment after the last change. */
  function later() {
    clearTimeout(timer);
    if (pictures.size && !bringing) timer = setTimeout(check, 400);
  }

  form.addEventListener("input", later);

  async function check() {
    const mine = ++turn;
    status.textContent = "looking …";
    try {
      const found = await ask("POST", `/drafts/${await draft}/check`, fields());
      if (mine !== turn) return;
      show(found.problems, found.hints, false);
      status.textContent = found.good ? "all good" : "";
    } catch (error) {
      if (mine === turn) { tell(others, error.problems ?? [String(error)]); status.textContent = ""; }
    }
  }

  /** Each sentence where it belongs; while somebody still fills in the form, empty fields are no fault yet. */
  function show(problems, hints, all) {
    for (const [number, { element }] of pictures) {
      const bad = problems.files[number] ?? [];
      note(element, bad.length ? bad : hints.files[number] ?? [], bad.length ? "bad" : "good");
    }
    for (const place of document.querySelectorAll(".problems")) {
      const name = place.dataset.for, value = form.elements[name].value.trim();
      place.textContent = all || value ? (problems.fields[name] ?? []).join(" ") : "";
    }
    tell(others, problems.others);
    others.append(...hints.others.map((hint) => make("p", { class: "notice hint" }, hint)));
  }

  async function add(train) {
    if (bringing) { status.textContent = "pictures are still being brought"; return; }
    if (!pictures.size) { tell(others, ["No pictures yet: drop 3 to 8 of them above."]); return; }
    ++turn;
    clearTimeout(timer);
    const buttons = [byId("add"), byId("add-train")];
    for (const button of buttons) button.disabled = true;
    status.textContent = "checking and storing …";
    try {
      const said = await ask("POST", `/drafts/${await draft}/add`, { ...fields(), train });
      location.assign(`/c/${said.name}${train ? "#training" : ""}`);
    } catch (error) {
      status.textContent = "";
      if (error.problems?.files) show(error.problems, error.said.hints, true);
      else tell(others, error.problems ?? [String(error)]);
      document.querySelector(".problems:not(:empty), .brought li.bad, #others .notice")?.scrollIntoView({ block: "center" });
      for (const button of buttons) button.disabled = false;
    }
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); add(true); });
  byId("add").addEventListener("click", () => add(false));
})();
