// How texts are shown: as Markdown or as they are, with what differs between two of them, veiled until they are wanted.

import { $, element, keep, stored } from "./page.js";
import { diff } from "./diff.js";
import { rendered } from "./markdown.js";
import { visible } from "./visible.js";

const chosen = { raw: stored("raw", false), differing: false, veil: stored("veil", false) };
let shown = []; // of every text in the question its {box, text, compared}; without a text its box is only veiled
let veiled = false;
let told = () => {};

// The texts of a question: boxes are filled again when the way of showing changes, of which `then` is told.
export function show(texts, then) {
  [shown, told] = [texts, then];
  veiled = chosen.veil && texts.length > 0;
  $("reading").hidden = texts.length === 0;
  fill();
}

export const hidden = () => veiled;

const pair = () => shown.filter(({ compared }) => compared);

function fill() {
  const two = pair().length === 2 ? pair() : null;
  const pieces = chosen.differing && two ? diff(two[0].text, two[1].text) : null;
  for (const each of shown) {
    const side = pieces && each.compared ? (each === two[0] ? -1 : 1) : 0;
    each.box.inert = veiled;
    each.box.classList.toggle("veiled", veiled);
    if (each.text === undefined) continue;
    each.box.classList.toggle("raw", chosen.raw || side !== 0);
    each.box.replaceChildren(...(side ? marked(pieces, side) : [chosen.raw ? visible(each.text) : rendered(each.text)]));
  }
  $("unveil").hidden = !veiled;
  $("differing").hidden = !two;
  for (const [id, on] of [["markdown", !chosen.raw && !pieces], ["differing", Boolean(pieces)], ["veil", chosen.veil]]) $(id).ariaPressed = String(on);
  told();
}

// One side of a comparison: what the other has not is marked.
const marked = (pieces, side) =>
  pieces.filter(([, of]) => of === 0 || of === side).map(([text, of]) => (of ? element("mark", {}, visible(text)) : visible(text)));

// What a correction changes: what is gone, and what is new.
export const changes = (before, after) =>
  diff(before, after).map(([text, of]) => (of ? element(of < 0 ? "del" : "ins", {}, visible(text)) : visible(text)));

function toggle(setting) {
  if (setting === "raw" && chosen.differing) chosen.differing = false; // differences are shown in texts as they are
  else chosen[setting] = !chosen[setting];
  if (setting !== "differing") keep(setting, chosen[setting]); // whether two texts are compared depends on the two
  if (setting === "veil") veiled = chosen.veil;
  fill();
}

// Veils the texts of this question, or lifts their veil.
function cover() {
  veiled = !veiled;
  fill();
}

// What a key does to the texts on the screen; nothing where there are none.
export function key(pressed) {
  if (shown.length === 0) return false;
  const act = { v: () => toggle("raw"), c: () => pair().length === 2 && toggle("differing"), b: cover }[pressed];
  act?.();
  return Boolean(act);
}

$("markdown").addEventListener("click", () => toggle("raw"));
$("differing").addEventListener("click", () => toggle("differing"));
$("veil").addEventListener("click", () => toggle("veil"));
$("unveil").addEventListener("click", cover);
