// Writing: the ideal response to a prompt, or a response corrected. What is written is kept until it is handed in.

import { $, keep, stored, word } from "./page.js";
import { rendered } from "./markdown.js";
import { changes } from "./texts.js";

let asked = null; // {query, before}: `before` is the response to be corrected, "" where there is none
let told = () => {};

export const text = () => $("draft").value;
export const ready = () => Boolean(text().trim()) && text() !== asked.before;

// Shows the box for a question; `former` is what was handed in before and is to be changed.
export function open(query, before, former, then) {
  [asked, told] = [{ query, before }, then];
  const draft = stored("draft", {});
  $("draft").value = former ?? (draft.query === query ? draft.text : before);
  $("write").hidden = false;
  label();
  follow();
}

export function close() {
  asked = null;
  $("write").hidden = true;
}

export function again() {
  $("draft").value = asked.before;
  follow();
  $("draft").focus();
}

// Beside the box: what a correction changes, or how a text of one's own is shown.
function follow() {
  $("draft").style.height = "auto";
  $("draft").style.height = `${$("draft").scrollHeight + 2}px`;
  $("beside").classList.toggle("raw", Boolean(asked.before));
  $("beside").replaceChildren(...(asked.before ? changes(asked.before, text()) : [rendered(text())]));
  told();
}

export function label() {
  $("beside-title").textContent = asked ? word(asked.before ? "changes" : "preview") : "";
}

$("draft").addEventListener("input", () => {
  keep("draft", { query: asked.query, text: text() });
  follow();
});
