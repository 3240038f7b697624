"use strict";
// What the scripts of several pages need.

/** Ask the booth for something that changes something, or for JSON; throws the problems that it answers. */
async function ask(method, address, body) {
  const file = body instanceof Blob;
  let answer;
  try {
    answer = await fetch(address, {
      method,
      headers: { "x-conceptbooth": "1", ...(body !== undefined && !file ? { "content-type": "application/json" } : {}) },
      body: body === undefined || file ? body : JSON.stringify(body),
    });
  } catch {
    throw { problems: ["The booth does not answer. Is it still running?"] };
  }
  const said = await answer.json().catch(() => ({ problems: [`The booth answered ${answer.status}`] }));
  if (!answer.ok) throw { status: answer.status, problems: said.problems ?? [JSON.stringify(said.detail ?? said)], said };
  return said;
}

/** An element with attributes and children; a string becomes text, never HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show sentences in a place, one a paragraph. */
function tell(place, sentences, kind = "bad") {
  place.replaceChildren(...sentences.map((sentence) => make("p", { class: `notice ${kind}` }, sentence)));
}

const byId = (id) => document.getElementById(id);
