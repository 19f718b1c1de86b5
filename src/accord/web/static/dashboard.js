// The dashboard: looks again every few seconds, draws with the browser's own means, and sets every text as text.

import { $, banner, data, keep, root, speak, stored, word } from "./page.js";

const POLL = 3000; // milliseconds between looks

let shown = null; // what was told last
let drawn = ""; // the same as text, so that nothing is drawn anew that has not changed

// ---------------------------------------------------------------------------------------------------------- words

const locale = () => (root.lang === "en" ? "en" : "zh-CN");
const number = (x, digits = 0) => (x === null || x === undefined ? "–" : x.toLocaleString(locale(), { maximumFractionDigits: digits }));
const share = (x) => (x === null || x === undefined ? "–" : x.toLocaleString(locale(), { style: "percent" }));
const short = (x) => number(x, Math.abs(x) < 10 ? 2 : Math.abs(x) < 100 ? 1 : 0);

function duration(seconds) {
  const [value, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  return value.toLocaleString(locale(), { style: "unit", unit, maximumFractionDigits: unit === "hour" ? 1 : 0 });
}

function make(tag, text, more = {}) {
  const made = Object.assign(document.createElement(tag), more);
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}

function say(other = false) {
  speak(other);
  document.title = `accord · ${word("title")}`;
  if (shown) draw();
}

// --------------------------------------------------------------------------------------------------------- server

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: body ? { "content-type": "application/json", [data.header]: data.token } : {},
    body: body && JSON.stringify(body),
  });
  if (answer.status === 401) banner(word("ended"));
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
}

async function look() {
  try {
    const told = await ask("/api/overview");
    const text = JSON.stringify(told);
    shown = told;
    if (text !== drawn) draw();
    drawn = text;
    if (data.role === "owner") log(await ask("/api/log"));
    banner();
  } catch (error) {
    if (error instanceof TypeError) banner(word("offline"));
  }
  $("main").ariaBusy = "false";
}

// --------------------------------------------------------------------------------------------------------- charts

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// About four round numbers from low to high.
function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

// A line through points {x, y, low, high} with its band, and level marks {y, text}.
function chart(points, { title, marks = [], range, format = short, wide = 520, tall = 210, labels = true }) {
  const figure = make("figure");
  if (title) figure.append(make("figcaption", title));
  const known = points.filter(({ y }) => y !== null && y !== undefined);
  const every = [...known.flatMap(({ y, low, high }) => [low ?? y, high ?? y]), ...marks.map(({ y }) => y)];
  let [bottom, top] = range ?? [Math.min(...every), Math.max(...every)];
  if (bottom === top) [bottom, top] = [bottom - 1, top + 1];
  const [left, right, below, above] = labels ? [46, 10, 24, 10] : [0, 0, 2, 2];
  const last = Math.max(...points.map(({ x }) => x), 1);
  const first = Math.min(...points.map(({ x }) => x));
  const X = (x) => left + ((x - first) / (last - first || 1)) * (wide - left - right);
  const Y = (y) => above + (1 - (y - bottom) / (top - bottom)) * (tall - above - below);
  const told = known.map(({ x, y }) => `${number(x)}: ${format(y)}`).join(", ");
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": `${title ?? word("reward")}. ${told}` });
  for (const y of labels ? ticks(bottom, top) : []) {
    svg.append(shape("line", { class: "grid", x1: left, x2: wide - right, y1: Y(y), y2: Y(y) }));
    svg.append(shape("text", { x: left - 8, y: Y(y) + 4, "text-anchor": "end" }, format(y)));
  }
  for (const x of labels ? ticks(first, last).filter(Number.isInteger) : [])
    svg.append(shape("text", { x: X(x), y: tall - 6, "text-anchor": "middle" }, number(x)));
  const banded = known.filter(({ low, high }) => low !== null && low !== undefined && high !== null);
  const edge = [...banded.map(({ x, high }) => [x, high]), ...banded.map(({ x, low }) => [x, low]).reverse()];
  if (edge.length > 2) svg.append(shape("polygon", { class: "band", points: edge.map(([x, y]) => `${X(x)},${Y(y)}`).join(" ") }));
  for (const { y, text } of marks) {
    svg.append(shape("line", { class: "mark", x1: left, x2: wide - right, y1: Y(y), y2: Y(y) }));
    svg.append(shape("text", { class: "mark-word", x: wide - right, y: Y(y) - 5, "text-anchor": "end" }, text));
  }
  svg.append(shape("polyline", { class: "line", points: known.map(({ x, y }) => `${X(x)},${Y(y)}`).join(" ") }));
  if (labels) for (const { x, y } of known) svg.append(shape("circle", { class: "dot", cx: X(x), cy: Y(y), r: 3 }));
  const now = shape("line", { class: "now", y1: 0, y2: tall, visibility: "hidden" });
  svg.append(now);
  figure.append(svg);
  figure.point = (x) => {
    now.setAttribute("visibility", "visible");
    now.setAttribute("x1", X(x));
    now.setAttribute("x2", X(x));
  };
  return figure;
}

// ---------------------------------------------------------------------------------------------------------- parts

function draw() {
  const { run } = shown;
  const round = run && run.stage !== "finished" ? word("round", { round: Math.min(run.round, run.rounds), rounds: run.rounds }) : "";
  $("run").replaceChildren(...(run ? [make("b", run.name), make("span", word(run.stage)), make("span", round)] : []));
  $("tiles").replaceChildren(...tiles(run));
  $("charts").replaceChildren(...charts(run));
  listed("alerts", shown.alerts, "calm", alert);
  listed("split", shown.disagreements, "united", disagreement);
  people();
  together();
}

function tile(key, value, small, beside) {
  const box = document.createElement("div");
  const figure = make("dd", value);
  if (small) figure.append(" ", make("small", small));
  box.append(make("dt", word(key)), figure);
  if (beside) box.append(make("dd", beside, { className: "beside" }));
  return box;
}

function tiles(run) {
  const waiting = word("waiting", { count: number(shown.waiting) });
  if (!run) return [tile("answers", number(shown.answers), "", waiting)];
  const last = run.curve.at(-1);
  const accuracy = run.curve.filter((each) => each.accuracy !== null).at(-1)?.accuracy;
  const top = shown.ceiling?.value;
  const found = [tile("labels", number(run.labels), word("of", { total: number(run.labels_total) }), waiting)];
  const beside = run.random_return === null ? "" : word("random", { value: short(run.random_return) });
  found.push(tile("return", last ? short(last.true_return) : "–", "", last ? beside : word("no_return")));
  found.push(tile("accuracy", share(accuracy), "", top ? word("ceiling", { value: share(top) }) : word("no_ceiling")));
  const spent = Object.entries(run.seconds).reduce((sum, [stage, each]) => sum + (stage === "wait" ? 0 : each), 0);
  const steps = word("steps", { total: number(run.steps_total) });
  return [...found, tile("cost", number(run.env_steps), steps, word("seconds", { time: duration(spent) }))];
}

function charts(run) {
  if (!run || run.curve.length < 2) return [];
  const pick = (name) => run.curve.map((each) => ({ x: each.labels, y: each[name], low: each[`${name}_low`], high: each[`${name}_high`] }));
  const random = run.random_return === null ? [] : [{ y: run.random_return, text: word("random", { value: short(run.random_return) }) }];
  const found = [chart(pick("true_return"), { title: word("chart_return"), marks: random })];
  const accuracy = pick("accuracy").filter(({ y }) => y !== null);
  const top = shown.ceiling?.value;
  const marks = top ? [{ y: top, text: word("ceiling", { value: share(top) }) }] : [];
  if (accuracy.length > 1) found.push(chart(accuracy, { title: word("chart_accuracy"), marks, range: [0, 1], format: share }));
  for (const [figure, points] of [[found[0], pick("true_return")], [found[1], accuracy]])
    if (figure) figure.append(details(points, figure === found[0] ? short : share));
  return found;
}

function details(points, format) {
  const box = make("details");
  box.append(make("summary", word("as_table")));
  box.append(table([word("by_labels"), ""], points.map(({ x, y, low, high }) => [number(x), `${format(y)} (${format(low)} – ${format(high)})`])));
  return box;
}

function table(head, rows) {
  const made = make("table");
  const top = made.createTHead().insertRow();
  for (const each of head) top.append(make("th", each, { scope: "col" }));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const each of row) line.append(each instanceof Node ? each : make("td", each));
  }
  return made;
}

function listed(id, rows, calm, each) {
  $(id).replaceChildren(...(rows.length ? rows.map(each) : [make("li", word(calm), { className: "calm" })]));
}

const REASONS = { gold: "gold_low" };

function alert({ reason, annotator, value, limit, count }) {
  const asSeconds = reason === "fast";
  const format = asSeconds ? (x) => number(x, 1) : share;
  const row = make("li");
  const text = make("span", "", { className: "grow" });
  if (annotator) text.append(make("b", annotator), " ");
  text.append(word(REASONS[reason] ?? reason, { value: format(value), limit: format(limit) }));
  row.append(make("span", "!", { className: "warn", ariaHidden: "true" }), text, make("small", word("resting", { count: number(count) })));
  return row;
}

// What a label of a scale means: `compare7` has seven, from the right side to the left one.
function label(scale, value) {
  const [, kind, levels] = scale.match(/^([a-z]+)(\d*)/);
  if (kind === "compare") return meaning("Side", { level: Number(value), levels: Number(levels) });
  return kind === "approve" ? meaning("Verdict", { approved: value === "1" }) : `${Number(value) + 1}`;
}

function disagreement({ query, scale, split, most }) {
  const row = make("li");
  const votes = Object.entries(split).reverse();
  const told = votes.map(([value, count]) => `${label(scale, value)} ${number(count)}`).join(" · ");
  const bar = make("span", "", { className: "bar", ariaHidden: "true" });
  for (const [, count] of votes) {
    bar.append(make("i"));
    bar.lastChild.style.flex = count;
  }
  const look = make("button", word("look"), { type: "button", onclick: () => inspect(query) });
  const decide = make("button", word("judge_it"), { type: "button", onclick: () => review(query) });
  row.append(make("span", told, { className: "votes" }), bar, make("small", word("sure", { value: share(most) }), { className: "grow" }), look, decide);
  return row;
}

const cell = (found) => {
  const made = make("td", found ? share(found.value) : "–");
  if (found) made.append(" ", make("small", `/ ${number(found.count)}`));
  return made;
};

function people() {
  const skills = shown.run?.skills ?? {};
  const head = ["name", "answers", "pace", "skips", "skill", "agreement", "consistency", "gold", "left"].map((key) => word(key));
  const rows = shown.annotators.map((each) => {
    const skill = skills[each.name];
    const told = make("td", share(skill?.skill));
    if (skill) told.append(" ", make("small", `${share(skill.low)} – ${share(skill.high)}`));
    return [each.name, number(each.answers), number(shown.pace[each.name]), number(each.skips), told,
            cell(each.agreement), cell(each.consistency), cell(each.gold), cell(each.left)]; // prettier-ignore
  });
  $("people").replaceChildren(rows.length ? table(head, rows) : make("p", word("nobody"), { className: "note" }));
}

function together() {
  const found = shown.agreement.filter(({ queries }) => queries > 0);
  const head = ["scale", "questions", "percent", "kappa", "alpha"].map((key) => word(key));
  const told = (estimate, format) => {
    const made = make("td", format(estimate.value));
    if (estimate.low !== null) made.append(" ", make("small", `${format(estimate.low)} – ${format(estimate.high)}`));
    return made;
  };
  const two = (x) => number(x, 2);
  const rows = found.map((each) => [each.scale, number(each.queries), told(each.percent, share), told(each.kappa, two), told(each.alpha, two)]);
  $("together").replaceChildren(rows.length ? table(head, rows) : make("p", word("no_overlap"), { className: "note" }));
}

// ------------------------------------------------------------------------------------------------------ questions

async function inspect(query) {
  const found = await ask(`/api/questions/${query}`);
  const cards = await Promise.all(found.segments.map((id, place) => card(id, place, found)));
  $("look-title").textContent = word("disagreements");
  $("certain").textContent = word("certain");
  $("clips").className = `stage${cards.length === 1 ? " one" : ""}`;
  $("clips").replaceChildren(...cards);
  listed("said", found.answers, "nobody", ({ annotator, kind, value, text }) => {
    const row = make("li", word("said", { name: annotator, value: meaning(kind, value) }));
    if (text) row.append(make("small", text));
    return row;
  });
  $("certain").hidden = data.role !== "owner";
  $("certain").onclick = () => certain(query);
  if (!$("look").open) $("look").showModal();
}

function meaning(kind, value) {
  if (kind === "Side") {
    const middle = (value.levels - 1) / 2;
    return value.level === middle ? word("tie") : word(value.level > middle ? "first" : "second");
  }
  if (kind === "Skip") return word("skipped");
  if (kind === "Score") return `${value.level + 1} / ${value.levels}`;
  if (kind === "Verdict") return value.approved ? "✓" : "✗";
  return kind === "Order" ? value.best_first.map((place) => String.fromCharCode(65 + place)).join(" > ") : kind;
}

async function card(id, place, found) {
  const view = await ask(`/api/segments/${id}`);
  const box = make("div", "", { className: "card" });
  const line = found.reward[id];
  const points = line?.mean.map((y, x) => ({ x, y, low: y - line.spread[x], high: y + line.spread[x] }));
  const curve = points && chart(points, { wide: 380, tall: 90, labels: false });
  if (view.type === "reply") box.append(make("p", view.response, { className: "reply", dir: "auto" }));
  else box.append(await picture(view, curve));
  if (curve) box.append(curve);
  const name = found.segments.length === 2 ? word(["first", "second"][place]) : String.fromCharCode(65 + place);
  const foot = make("div", name, { className: "foot" });
  if (points) foot.append(make("small", word("reward")));
  box.append(foot);
  return box;
}

// A picture, or a clip whose frames follow the slider; the reward's curve shows where it is.
async function picture(view, curve) {
  const strip = new Image();
  strip.src = view.url;
  await strip.decode();
  if (view.type !== "clip") return Object.assign(strip, { alt: "" });
  const columns = Math.min(view.columns, view.frames);
  const width = strip.naturalWidth / columns;
  const height = strip.naturalHeight / Math.ceil(view.frames / view.columns);
  const canvas = make("canvas", "", { width, height, role: "img" });
  const slider = make("input", "", { type: "range", min: 0, max: view.frames - 1, value: 0, ariaLabel: word("reward") });
  const frame = () => {
    const at = Number(slider.value);
    canvas.getContext("2d").drawImage(strip, (at % view.columns) * width, Math.floor(at / view.columns) * height, width, height, 0, 0, width, height);
    curve?.point(at);
  };
  slider.addEventListener("input", frame);
  frame();
  const both = document.createDocumentFragment();
  both.append(canvas, slider);
  return both;
}

// The owner's own answer is right: everybody is asked this question from now on.
async function certain(query) {
  try {
    await ask("/api/gold", { query });
    $("certain").textContent = word("is_certain");
  } catch (error) {
    $("certain").textContent = error.message;
  }
}

async function review(query) {
  try {
    await ask("/api/review", { query });
    location.href = "/";
  } catch (error) {
    banner(error.message);
  }
}

// ---------------------------------------------------------------------------------------------------------- owner

function log({ events, broken }) {
  $("chain").textContent = !events.length ? word("empty_log") : broken === null ? word("whole") : word("broken", { seq: broken });
  $("log").replaceChildren(
    ...events.toReversed().map(({ at, actor, what, about }) => {
      const row = make("li");
      row.append(make("time", new Date(at * 1000).toLocaleString(locale())), `${actor || "–"} · ${data.words[what] ? word(what) : what} ${about}`);
      return row;
    }),
  );
}

async function invite(event) {
  event.preventDefault();
  try {
    const name = $("invited").value.trim();
    const { link } = await ask("/api/invite", { name, role: $("role").value });
    $("made-for").textContent = word("link_for", { name });
    $("link").textContent = link;
    $("made").hidden = false;
    $("invite").reset();
  } catch (error) {
    banner(error.message);
  }
}

async function copy() {
  await navigator.clipboard.writeText($("link").textContent);
  $("copy").textContent = word("copied");
  setTimeout(() => ($("copy").textContent = word("copy")), 1500);
}

// ----------------------------------------------------------------------------------------------------------- page

$("language").addEventListener("click", () => say(true));
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep("theme", root.dataset.theme);
});
$("invite").addEventListener("submit", invite);
$("copy").addEventListener("click", copy);
if (stored("theme", null)) root.dataset.theme = stored("theme", null);
$("owner").hidden = data.role !== "owner";
say();
look();
setInterval(() => document.visibilityState === "visible" && look(), POLL);
