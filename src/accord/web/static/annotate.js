// The annotation page: questions are leased ahead, answers go to an outbox that survives a lost connection and a closed
// tab, and whatever the keyboard does the buttons do. Text is set as text; nothing that comes from a model is markup.

import { $, banner, data, element, keep, post, root, speak, stored, toast, unique, word } from "./page.js";
import * as driving from "./drive.js";
import * as films from "./film.js";
import * as texts from "./texts.js";
import * as writing from "./write.js";
import { Ranking } from "./rank.js";

const mine = `outbox-${data.annotator}`;
const UNDOS = 20;
const POLL = 2000; // milliseconds between looks for new questions while there is none
const MOST = 200_000; // bytes of one delivery, unless one answer alone is longer

let queue = [];
// {question, views, began, supersedes, former} and what it is answered by: {film, ranking, drive}; views are null until
// all can be seen; `former` is what was answered before and is now changed.
let current = null;
let past = [];
let outbox = stored(mine, []);
let answered = 0;
let times = [];
let sending = false;
let leasing = false;
let lost = true; // whether the server may hold questions that this page does not know of
let over = false; // nothing more will be asked

// --------------------------------------------------------------------------------------------------------- server

// After an answer that never came the server may hold questions for this page that it has not heard of: all are given
// back and leased anew. An answer to the one on the screen is taken all the same.
async function lease() {
  if (leasing || (!lost && queue.length >= data.ahead)) return;
  leasing = true;
  try {
    const afresh = lost;
    const found = await post("/api/lease", { limit: afresh ? data.ahead : data.ahead - queue.length || 1, afresh });
    if (afresh) queue = queue.filter(({ supersedes }) => supersedes);
    lost = false;
    dealt(found);
    banner();
  } catch (error) {
    lost = true;
    if (error instanceof TypeError && !over) banner(word("offline"));
  } finally {
    leasing = false;
  }
  if (!current) next();
}

function dealt(found) {
  $("waiting").textContent = Math.max(0, found.waiting - outbox.length);
  const taken = new Set([current?.question.query, ...outbox.map(({ query }) => query)]);
  for (const question of found.questions.filter(({ query }) => !taken.has(query))) {
    const views = look(question);
    views.catch(() => {}); // told when it is that question's turn
    queue.push({ question, views });
  }
  over = found.over;
}

// Views of a question's segments, pictures loaded: begun as soon as the question is leased.
async function look(question) {
  return Promise.all(
    question.segments.map(async (id) => {
      const answer = await fetch(`/api/segments/${id}`);
      if (!answer.ok) throw new Error(`${answer.status}`);
      const view = await answer.json();
      if (view.url) {
        view.picture = Object.assign(new Image(), { src: view.url });
        await view.picture.decode();
      }
      return view;
    }),
  );
}

// Answers go out and the next questions come in by one request, unless those are on their way already.
async function send() {
  if (sending || outbox.length === 0) return;
  sending = true;
  let wait = 0;
  const more = !leasing && !lost && queue.length < data.ahead;
  leasing ||= more;
  try {
    let room = MOST;
    const fits = (answer, place) => place === 0 || (room -= new Blob([JSON.stringify(answer)]).size) > 0;
    const batch = outbox.slice(0, 50).filter(fits);
    const wanted = more ? { lease: { limit: data.ahead - queue.length } } : {};
    const found = await post("/api/answers", { answers: batch, ...wanted });
    const told = new Map(found.results.map((result) => [result.id, result]));
    outbox = outbox.filter((answer) => !told.has(answer.id));
    for (const result of found.results) if (!result.stored) toast(word("refused", { why: result.why }));
    if (more) dealt(found);
    banner();
  } catch {
    lost ||= more;
    banner(word("offline"));
    wait = 2000;
  } finally {
    sending = false;
    if (more) leasing = false;
    keep(mine, outbox);
    count();
  }
  if (outbox.length) setTimeout(send, wait);
  if (more && !current) next();
}

function count() {
  $("answered").textContent = answered;
  const now = Date.now();
  times = times.filter((time) => now - time < 120_000);
  $("pace-box").hidden = times.length < 3;
  if (times.length >= 3) $("pace").textContent = Math.round((60_000 * (times.length - 1)) / (times.at(-1) - times[0]));
  $("unsent").textContent = outbox.length;
  $("unsent-box").hidden = outbox.length < 2;
  $("undo").disabled = past.length === 0;
}

// ------------------------------------------------------------------------------------------------------- question

async function next() {
  queue = queue.filter(({ question }) => question.until * 1000 > Date.now());
  const coming = queue.shift();
  clear();
  if (!coming) {
    current = null;
    $("question").hidden = true;
    $("empty").hidden = over;
    $("over").hidden = !over;
    if (!over) setTimeout(lease, POLL);
    return;
  }
  // Nothing can be answered before it is seen: without views there is no answer.
  const { question, former, supersedes = null } = coming;
  current = { question, former, supersedes, views: null, film: null, ranking: null, drive: null };
  const shown = current;
  $("question").ariaBusy = "true";
  for (const { button } of buttons) button.ariaDisabled = "true";
  buttons = [];
  let views;
  try {
    views = await (coming.views ?? look(coming.question));
  } catch (error) {
    if (current !== shown) return;
    current = null;
    if (!(error instanceof TypeError)) {
      toast(word("unseen")); // the server cannot show it: another annotator may have better luck
      return next();
    }
    banner(word("offline"));
    queue.unshift({ ...coming, views: null }); // it is still ours: looked up again once there is a connection
    setTimeout(() => current ?? next(), POLL);
    return;
  }
  if (current !== shown) return;
  current.views = views;
  current.began = performance.now();
  $("question").ariaBusy = "false";
  $("empty").hidden = $("over").hidden = true;
  $("question").hidden = false;
  $("text").value = coming.former?.text ?? "";
  stage();
  ask();
  lease();
}

function clear() {
  films.end();
  driving.end();
  writing.close();
}

// What is asked, by its kind and by what it is about.
const about = () => (current.views[0]?.type === "reply" ? "reply" : "clip");
const gives = () => ["demonstrate", "correct"].includes(current.question.kind);

// The buttons of a question: an answer each, or something to do. `open` says whether there is anything to it yet.
const levels = () => {
  const { kind, levels: n } = current.question;
  if (gives()) return about() === "reply" ? written() : current.drive ? driven() : taken();
  if (kind === "compare" && n === 7) {
    const names = ["far", "better", "slightly"];
    return [...Array(7).keys()].map((i) => ({
      key: `${i + 1}`,
      text: i === 3 ? word("tie") : side(i < 3 ? 0 : 1),
      detail: i === 3 ? "" : word(names[i < 3 ? i : 6 - i]),
      value: { type: "side", level: 6 - i },
    }));
  }
  if (kind === "compare") {
    const sides = [{ key: "←", text: side(0), value: { type: "side", level: n - 1 } }];
    if (n === 3) sides.push({ key: "T", text: word("tie"), value: { type: "side", level: 1 } });
    return [...sides, { key: "→", text: side(1), value: { type: "side", level: 0 } }];
  }
  if (kind === "rate")
    return [...Array(n).keys()].map((i) => ({
      key: `${(i + 1) % 10}`,
      text: `${i + 1}`,
      detail: i === 0 ? word("worst") : i === n - 1 ? word("best") : "",
      value: { type: "score", level: i },
    }));
  if (kind === "approve")
    return [
      { key: "←", text: word("yes"), value: { type: "verdict", approved: true } },
      { key: "→", text: word("no"), value: { type: "verdict", approved: false } },
    ];
  return [
    { key: "Enter", text: word("done_ranking"), act: rank },
    { key: "0", text: word("again"), act: () => current.ranking.again() },
  ];
};

const written = () => [
  { key: "Ctrl Enter", text: word("hand_in"), open: () => !texts.hidden() && writing.ready(), act: write },
  ...(current.question.kind === "correct" ? [{ key: "", text: word("as_it_was"), open: () => true, act: writing.again }] : []),
];
const taken = () => [{ key: "E", text: word("take_over"), open: () => true, act: take }];
const driven = () => [
  { key: "Enter", text: word("hand_in"), open: () => current.drive.state === "over", act: hand },
  { key: "R", text: word("drive_again"), open: () => current.drive.free, act: () => current.drive.again() },
  ...(current.film ? [{ key: "Esc", text: word("to_clip"), open: () => true, act: leave }] : []),
];

let buttons = [];

function ask() {
  const { kind } = current.question;
  $("ask").textContent = word(gives() ? `${kind}_${about()}` : kind);
  buttons = levels();
  $("answers").classList.toggle("many", buttons.length > 3);
  $("answers").replaceChildren(
    ...buttons.map((each) => {
      const { key, text, detail, value, act } = each;
      each.button = element("button", { type: "button" }, text);
      if (detail) each.button.append(element("small", { textContent: detail }));
      if (key) each.button.append(element("kbd", { textContent: key, ariaHidden: "true" }));
      each.button.addEventListener("click", () => buttons.includes(each) && (act ? act() : answer(value)));
      return each.button;
    }),
  );
  $("note").setAttribute("aria-expanded", String(!$("reason").hidden));
  allow();
}

function stage() {
  const { question, views, former } = current;
  const reply = about() === "reply";
  const shown = gives() && (reply || question.kind === "demonstrate") ? [] : views;
  const cards = shown.map((view, place) => card(view, place, views.length));
  $("stage").className = `stage${views.length === 1 ? " one" : ""}${reply ? " texts" : ""}`;
  $("stage").replaceChildren(...cards);
  $("stage").hidden = cards.length === 0;
  current.ranking = question.kind === "rank" ? new Ranking($("stage")) : null;
  const clips = shown.filter((view) => view.type === "clip").map((view) => ({ view, canvas: view.canvas }));
  $("transport").hidden = clips.length === 0;
  current.film = clips.length ? new films.Film(clips, former?.marks ?? [], allow) : null;
  if (gives() && reply) writing.open(question.query, question.kind === "correct" ? views[0].response : "", former?.value.text, allow);
  if (gives() && !reply && question.kind === "demonstrate") current.drive = new driving.Drive(question.query, 0, allow);
  const prompt = views[0]?.prompt ?? "";
  $("prompt").hidden = !prompt;
  const boxes = shown.flatMap((view, place) => (view.type === "reply" ? [{ box: cards[place].querySelector(".reply"), text: view.response, compared: question.kind === "compare" }] : []));
  if (prompt) boxes.push({ box: $("prompt-text"), text: prompt });
  if (question.kind === "correct" && reply) boxes.push({ box: $("write") });
  texts.show(boxes, allow);
}

function card(view, place, count) {
  const ranking = current.question.kind === "rank";
  const made = element(ranking ? "button" : "div", { className: "card" });
  if (ranking) made.type = "button";
  made.dataset.segment = current.question.segments[place];
  if (view.type === "reply") {
    const text = element("div", { className: "reply", dir: "auto" });
    if (!ranking) text.tabIndex = 0; // long ones scroll by keyboard
    made.append(text);
  } else if (view.type === "clip") {
    view.canvas = element("canvas", { role: "img", ariaLabel: label(place, count) });
    made.append(view.canvas);
  } else made.append(Object.assign(view.picture, { alt: label(place, count) }));
  if (count > 1) made.append(element("div", { className: "foot", textContent: label(place, count) }));
  return made;
}

// Two texts stand one above the other where there is no room beside each other.
const stacked = () => current.views?.[0]?.type === "reply" && matchMedia("(max-width: 640px)").matches;
const side = (place) => word(stacked() ? ["upper", "lower"][place] : ["first", "second"][place]);
const label = (place, count) => (count === 2 ? side(place) : String.fromCharCode(65 + place));

const ready = () => current?.views && !texts.hidden() && (!current.film || current.film.watched || current.supersedes);

function allow() {
  for (const { button, open } of buttons) button.ariaDisabled = String(!(open ? open() : ready()));
}

// ---------------------------------------------------------------------------------- what is written, driven, ordered

function rank() {
  const order = current.ranking.order();
  if (order) answer({ type: "order", best_first: order });
}

function write() {
  if (texts.hidden()) return toast(word("unveil_first"));
  if (!writing.ready()) return toast(word("write_first"));
  answer({ type: "written", text: writing.text() });
}

// The clip stops where it is, and the annotator drives on from there.
function take() {
  const { film, question } = current;
  film.toggle(false);
  current.drive = new driving.Drive(question.query, Math.max(0, Math.min(film.step, film.length - 2)), allow);
  $("stage").hidden = $("transport").hidden = true;
  ask();
}

function leave() {
  driving.end();
  current.drive = null;
  $("stage").hidden = $("transport").hidden = false;
  ask();
}

async function hand() {
  const shown = current;
  if (shown.drive.state !== "over") return toast(word("drive_first"));
  const value = await shown.drive.hand();
  if (value && current === shown) answer(value);
}

// --------------------------------------------------------------------------------------------------------- answers

function answer(value) {
  if (!current?.views) return;
  const given = ["skip", "written", "given"].includes(value.type);
  if (!given && !ready()) return toast(word(texts.hidden() ? "unveil_first" : "watch"));
  const { question, supersedes, views } = current;
  const seconds = (performance.now() - current.began) / 1000;
  if (!given && !supersedes && seconds < data.least) return toast(word("look_longer"));
  const sent = {
    id: unique(),
    query: question.query,
    token: question.token,
    value,
    seconds: Math.min(86_400, seconds),
    text: $("text").value.trim(),
    marks: [...(current.film?.marks ?? [])],
    supersedes,
  };
  outbox.push(sent);
  keep(mine, outbox);
  past.push({ question, views, supersedes: sent.id, former: sent });
  past = past.slice(-UNDOS);
  if (!supersedes) {
    answered += 1;
    times.push(Date.now());
    $("waiting").textContent = Math.max(0, Number($("waiting").textContent) - 1 || 0);
  }
  if (value.type === "written") keep("draft", {});
  toast(word(supersedes ? "undone" : "stored"));
  $("reason").hidden = true;
  count();
  next();
  send();
}

function undo() {
  const former = past.pop();
  if (!former) return;
  if (current) queue.unshift({ ...current, views: Promise.resolve(current.views ?? look(current.question)) });
  queue.unshift({ ...former, question: { ...former.question, until: Infinity }, views: Promise.resolve(former.views) });
  count();
  next();
}

function note(open = $("reason").hidden) {
  $("reason").hidden = !open;
  $("note").setAttribute("aria-expanded", String(open));
  if (open) $("text").focus();
}

// ------------------------------------------------------------------------------------------------------------ keys

function key(event) {
  const box = event.target === $("draft") || event.target === $("text");
  if (box && event.key === "Enter" && (event.ctrlKey || event.metaKey) && current?.question && gives() && about() === "reply") return write();
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (box) {
    if (event.key === "Escape") event.target === $("text") ? note(false) : $("draft").blur();
    return;
  }
  if (event.target.matches("input, select")) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.target.tagName === "BUTTON" && (pressed === " " || (pressed === "Enter" && !event.target.classList.contains("chosen")))) return;
  if (current?.drive ? driving.key(pressed, event) : films.key(pressed)) return event.preventDefault();
  if (current?.views && texts.key(pressed)) return event.preventDefault();
  const act = {
    u: undo,
    n: () => note(),
    x: () => answer({ type: "skip", reason: "" }),
    "?": () => $("keys").showModal(),
  }[pressed];
  if (act) {
    event.preventDefault();
    return act();
  }
  if (current?.views && told(pressed)) event.preventDefault();
}

// What a key says to the question itself.
function told(pressed) {
  if (current.question.kind === "rank" && /^[1-9]$/.test(pressed)) return current.ranking.pick(Number(pressed) - 1), true;
  const { kind, levels: n } = current.question;
  if (gives() && about() === "reply" && pressed === "e") return $("draft").focus(), true;
  const seven = kind === "compare" && n === 7;
  const arrows = { ArrowLeft: seven ? "2" : "←", a: seven ? "2" : "←", ArrowRight: seven ? "6" : "→", d: seven ? "6" : "→", t: seven ? "4" : "t", Escape: "esc" };
  const wanted = (arrows[pressed] ?? pressed).toLowerCase();
  const found = buttons.find((each) => each.key.toLowerCase() === wanted);
  if (!found) return false;
  if (found.act) found.act();
  else answer(found.value);
  return true;
}

// ----------------------------------------------------------------------------------------------------------- start

function language() {
  speak(true);
  films.relabel();
  driving.relabel();
  writing.label();
  if (current?.views) ask();
}

document.addEventListener("keydown", key);
$("undo").addEventListener("click", undo);
$("note").addEventListener("click", () => note());
$("skip").addEventListener("click", () => answer({ type: "skip", reason: "" }));
$("help").addEventListener("click", () => $("keys").showModal());
$("language").addEventListener("click", language);
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep("theme", root.dataset.theme);
});
addEventListener("online", send);
// Whoever clicks goes on by keyboard; whoever tabs stays.
addEventListener("pointerup", (event) => event.target.closest?.("button")?.blur());
if (stored("theme", "")) root.dataset.theme = stored("theme", "");
speak();
films.relabel();
count();
send();
lease();
