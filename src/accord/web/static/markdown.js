// Markdown as nodes: paragraphs, headings, lists, quotes, code and emphasis. Whatever else it holds, HTML too, stays the
// text that it is; a link is shown as its text and its address, a picture is not loaded. Reading takes time in
// proportion to the text, whatever the text.

import { element } from "./page.js";
import { visible } from "./visible.js";

const DEEPEST = 8; // quotes in lists in quotes; deeper ones stay text
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]|$)/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const LINK = /(!?)\[([^[\]\n]{1,500})\]\(([^()\s]{1,2000})\)/y;
const MARKS = ["**", "__", "*", "_"];

export function rendered(text) {
  const box = document.createDocumentFragment();
  blocks(text.replaceAll("\r\n", "\n").split("\n"), box, 0);
  return box;
}

const opens = (line) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(line));

function blocks(lines, box, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = fenced(lines, at, box);
    else if (HEADING.test(line)) at = heading(lines, at, box);
    else if (RULE.test(line)) at = (box.append(element("hr")), at + 1);
    else if (QUOTE.test(line) && depth < DEEPEST) at = quoted(lines, at, box, depth);
    else if (ITEM.test(line) && depth < DEEPEST) at = listed(lines, at, box, depth);
    else at = paragraph(lines, at, box, depth);
  }
}

function fenced(lines, at, box) {
  const mark = FENCE.exec(lines[at])[1];
  const closes = (line) => line.trim().startsWith(mark) && !line.trim().replaceAll(mark[0], "");
  let end = at + 1;
  while (end < lines.length && !closes(lines[end])) end += 1;
  box.append(element("pre", {}, element("code", {}, visible(lines.slice(at + 1, end).join("\n")))));
  return end + 1;
}

// No <h2>: a response is no part of the page's own outline.
function heading(lines, at, box) {
  const [whole, mark] = HEADING.exec(lines[at]);
  box.append(inline(lines[at].slice(whole.length).trim(), element("p", { className: `heading h${mark.length}` }), 0));
  return at + 1;
}

function quoted(lines, at, box, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = element("blockquote");
  blocks(lines.slice(at, end).map((line) => line.replace(QUOTE, "")), inner, depth + 1);
  box.append(inner);
  return end;
}

function listed(lines, at, box, depth) {
  const [, indent, first] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(first);
  const list = element(ordered ? "ol" : "ul");
  if (ordered) list.start = Number.parseInt(first, 10);
  const next = (line) => {
    const found = ITEM.exec(line);
    return found && found[1].length < indent.length + 2 && /\d/.test(found[2]) === ordered ? found : null;
  };
  let found = next(lines[at]);
  while (found) {
    const own = [lines[at].slice(found[0].length)];
    at += 1;
    while (at < lines.length && inside(lines, at, indent.length + 2)) {
      const spaces = lines[at].length - lines[at].trimStart().length;
      own.push(lines[at].slice(Math.min(spaces, found[0].length)));
      at += 1;
    }
    const item = element("li");
    blocks(own, item, depth + 1);
    list.append(item);
    found = at < lines.length && !RULE.test(lines[at]) ? next(lines[at]) : null;
  }
  box.append(list);
  return at;
}

// Whether a line belongs to the item before it: by its indent, or as the rest of its paragraph, or blank within it.
function inside(lines, at, indent) {
  const line = lines[at];
  if (!line.trim()) return lines[at + 1]?.startsWith(" ".repeat(indent)) || (ITEM.test(lines[at + 1] ?? "") && lines[at + 1].trim() !== "");
  return line.startsWith(" ".repeat(indent)) || (lines[at - 1].trim() !== "" && !opens(line));
}

function paragraph(lines, at, box, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && (depth >= DEEPEST || !opens(lines[end]))) end += 1;
  box.append(inline(lines.slice(at, end).join("\n"), element("p"), 0));
  return end;
}

// Emphasis, code and links within a paragraph, appended to a box.
function inline(text, box, depth) {
  const missing = new Set(); // marks of which no other closes: looked for once
  let at = 0;
  let from = 0;
  const take = (end, ...nodes) => {
    box.append(visible(text.slice(from, at)), ...nodes);
    at = from = end;
  };
  while (at < text.length) {
    const letter = text[at];
    if (letter === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) {
      take(at + 2, text[at + 1]);
    } else if (letter === "`") {
      const mark = /`+/y;
      mark.lastIndex = at;
      const run = mark.exec(text)[0];
      const end = missing.has(run) ? -1 : closing(text, run, at + run.length);
      if (end < 0) missing.add(run), (at += run.length);
      else take(end + run.length, element("code", {}, visible(text.slice(at + run.length, end))));
    } else if (letter === "[" || (letter === "!" && text[at + 1] === "[")) {
      LINK.lastIndex = at;
      const found = LINK.exec(text);
      if (!found) at += 1;
      else take(at + found[0].length, element("span", { className: "link" }, visible(found[2])), element("span", { className: "address" }, visible(` (${found[3]})`)));
    } else {
      const mark = depth < DEEPEST ? MARKS.find((each) => text.startsWith(each, at)) : undefined;
      const end = mark && !missing.has(mark) && may(text, mark, at) ? closed(text, mark, at + mark.length) : -1;
      if (end > 0) take(end + mark.length, inline(text.slice(at + mark.length, end), element(mark.length > 1 ? "strong" : "em"), depth + 1));
      else {
        if (mark && may(text, mark, at)) missing.add(mark);
        at += mark?.length ?? 1;
      }
    }
  }
  take(at);
  return box;
}

// Where a run of backticks of the same length stands.
function closing(text, run, from) {
  for (let at = text.indexOf(run, from); at >= 0; at = text.indexOf(run, at)) {
    let end = at;
    while (text[end] === "`") end += 1;
    if (end - at === run.length) return at;
    at = end;
  }
  return -1;
}

const letter = /[\p{L}\p{N}]/u;
const may = (text, mark, at) => /\S/.test(text[at + mark.length] ?? "") && (mark[0] === "*" || !letter.test(text[at - 1] ?? ""));

// Where a mark ends what it began: after something, and an underscore not within a word.
function closed(text, mark, from) {
  for (let at = text.indexOf(mark, from + 1); at >= 0; at = text.indexOf(mark, at + 1)) {
    const after = text[at + mark.length] ?? "";
    if (/\s/.test(text[at - 1]) || (mark[0] === "_" && letter.test(after))) continue;
    if (mark.length === 1 && (after === mark || text[at - 1] === mark)) continue; // one of a pair
    return at;
  }
  return -1;
}
