// The annotation page: questions are leased ahead, answers go to an outbox that survives a lost connection and a closed
// tab, and whatever the keyboard does the buttons do. Text is set as text; nothing that comes from a model is markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const stored = (key, otherwise) => JSON.parse(localStorage.getItem(`accord-${key}`) ?? "null") ?? otherwise;
const keep = (key, value) => localStorage.setItem(`accord-${key}`, JSON.stringify(value));
const mine = `outbox-${data.annotator}`;
const UNDOS = 20;
const POLL = 2000; // milliseconds between looks for new questions while there is none

let language = stored("language", root.dataset.language);
let queue = [];
let current = null; // {question, views, film, began, supersedes, ranked}; views are null until all can be seen
let past = [];
let outbox = stored(mine, []);
let answered = 0;
let times = [];
let sending = false;
let leasing = false;
let lost = true; // whether the server may hold questions that this page does not know of
let over = false; // nothing more will be asked

// ---------------------------------------------------------------------------------------------------------- words

const word = (key, values = {}) =>
  Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, value), data.words[key][language]);

function speak() {
  root.lang = language === "zh" ? "zh-Hans" : "en";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", word(each.dataset.label));
  for (const each of document.querySelectorAll("[data-hint]")) each.placeholder = word(each.dataset.hint);
  if (current) ask();
}

function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => box.classList.remove("on"), 1800);
}

function banner(text) {
  $("banner").textContent = text ?? "";
  $("banner").hidden = !text;
}

// --------------------------------------------------------------------------------------------------------- server

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", [data.header]: data.token },
    body: JSON.stringify(body),
  });
  if (answer.status === 401 || answer.status === 403) banner(word("ended"));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

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
    take(found);
    banner();
  } catch (error) {
    lost = true;
    if (error instanceof TypeError && !over) banner(word("offline"));
  } finally {
    leasing = false;
  }
  if (!current) next();
}

function take(found) {
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
        view.picture = new Image();
        view.picture.src = view.url;
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
    const batch = outbox.slice(0, 50);
    const wanted = more ? { lease: { limit: data.ahead - queue.length } } : {};
    const found = await post("/api/answers", { answers: batch, ...wanted });
    const told = new Map(found.results.map((result) => [result.id, result]));
    outbox = outbox.filter((answer) => !told.has(answer.id));
    for (const result of found.results) if (!result.stored) toast(word("refused", { why: result.why }));
    if (more) take(found);
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

// ---------------------------------------------------------------------------------------------------------- clips

// All clips of a question on one clock, counted in steps of the environment.
class Film {
  constructor(clips) {
    this.clips = clips;
    this.length = Math.max(...clips.map((clip) => clip.view.frames));
    this.fps = clips[0].view.fps;
    this.at = 0;
    this.seen = 0;
    this.last = null;
    this.running = false;
    $("scrub").max = this.length - 1;
    this.draw();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.toggle(true);
  }
  get watched() {
    return this.seen >= this.length - 1;
  }
  draw() {
    const step = Math.min(Math.floor(this.at), this.length - 1);
    this.seen = Math.max(this.seen, step);
    for (const { canvas, view } of this.clips) {
      const frame = Math.min(step, view.frames - 1);
      const columns = Math.min(view.columns, view.frames);
      const width = view.picture.naturalWidth / columns;
      const height = view.picture.naturalHeight / Math.ceil(view.frames / view.columns);
      if (canvas.width !== width) Object.assign(canvas, { width, height });
      const x = (frame % view.columns) * width;
      const y = Math.floor(frame / view.columns) * height;
      canvas.getContext("2d").drawImage(view.picture, x, y, width, height, 0, 0, width, height);
    }
    $("scrub").value = step;
    if (this.watched) allow();
  }
  toggle(on = !this.running) {
    this.running = on;
    this.last = null;
    $("play").classList.toggle("playing", on);
    $("play").setAttribute("aria-label", word(on ? "pause" : "play"));
    if (on) requestAnimationFrame((time) => this.tick(time));
  }
  tick(time) {
    if (!this.running || current?.film !== this) return;
    const passed = this.last === null ? 0 : (time - this.last) / 1000;
    this.last = time;
    const end = this.length + 0.4 * this.fps * $("speed").value; // the last frame stays for a moment
    this.at += passed * this.fps * $("speed").value;
    if (this.at >= end) this.at = 0;
    this.draw();
    requestAnimationFrame((later) => this.tick(later));
  }
  step(by) {
    this.toggle(false);
    this.at = Math.min(Math.max(Math.floor(this.at) + by, 0), this.length - 1);
    this.draw();
  }
  replay() {
    this.at = 0;
    this.toggle(true);
  }
}

// ------------------------------------------------------------------------------------------------------- question

async function next() {
  queue = queue.filter(({ question }) => question.until * 1000 > Date.now());
  const coming = queue.shift();
  if (!coming) {
    current = null;
    $("question").hidden = true;
    $("empty").hidden = over;
    $("over").hidden = !over;
    if (!over) setTimeout(lease, POLL);
    return;
  }
  // Nothing can be answered before it is seen: without views there is no answer.
  current = { question: coming.question, views: null, film: null, ranked: [], supersedes: coming.supersedes ?? null };
  const shown = current;
  $("question").ariaBusy = "true";
  allow();
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
  $("text").value = "";
  ask();
  stage(views);
  lease();
}

const levels = () => {
  const { kind, levels: n } = current.question;
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
    { key: "Enter", text: word("done_ranking"), act: () => rank() },
    { key: "0", text: word("again"), act: () => ((current.ranked = []), places()) },
  ];
};

function ask() {
  $("ask").textContent = word(current.question.kind);
  const buttons = levels();
  $("answers").classList.toggle("many", buttons.length > 3);
  $("answers").replaceChildren(
    ...buttons.map(({ key, text, detail, value, act }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(text);
      if (detail) button.append(Object.assign(document.createElement("small"), { textContent: detail }));
      button.append(Object.assign(document.createElement("kbd"), { textContent: key, ariaHidden: "true" }));
      button.addEventListener("click", () => (act ? act() : answer(value)));
      return button;
    }),
  );
  $("note").setAttribute("aria-expanded", String(!$("reason").hidden));
  allow();
}

function stage(views) {
  const ranking = current.question.kind === "rank";
  const cards = views.map((view, place) => {
    const card = document.createElement(ranking ? "button" : "div");
    card.className = "card";
    card.dataset.segment = current.question.segments[place];
    if (ranking) Object.assign(card, { type: "button", onclick: () => pick(place) });
    if (view.type === "reply") {
      const text = Object.assign(document.createElement("p"), { className: "reply", textContent: view.response, dir: "auto" });
      if (!ranking) text.tabIndex = 0; // long ones scroll by keyboard
      card.append(text);
    } else if (view.type === "clip") {
      view.canvas = Object.assign(document.createElement("canvas"), { role: "img", ariaLabel: label(place, views.length) });
      card.append(view.canvas);
    } else {
      card.append(Object.assign(view.picture, { alt: label(place, views.length) }));
    }
    if (views.length > 1) {
      const foot = Object.assign(document.createElement("div"), { className: "foot", textContent: label(place, views.length) });
      const badge = Object.assign(document.createElement("span"), { className: "place", hidden: true });
      foot.append(badge);
      card.append(foot);
    }
    return card;
  });
  $("stage").className = `stage${views.length === 1 ? " one" : ""}${views[0]?.type === "reply" ? " texts" : ""}`;
  $("stage").replaceChildren(...cards);
  const prompt = views[0]?.prompt ?? "";
  $("prompt").hidden = !prompt;
  $("prompt-text").textContent = prompt;
  const clips = views.filter((view) => view.type === "clip").map((view) => ({ view, canvas: view.canvas }));
  $("transport").hidden = clips.length === 0;
  current.film = clips.length ? new Film(clips) : null;
  allow();
}

// Two texts stand one above the other where there is no room beside each other.
const stacked = () => current.views?.[0]?.type === "reply" && matchMedia("(max-width: 640px)").matches;
const side = (place) => word(stacked() ? ["upper", "lower"][place] : ["first", "second"][place]);
const label = (place, count) => (count === 2 ? side(place) : String.fromCharCode(65 + place));

const ready = () => current?.views && (!current.film || current.film.watched || current.supersedes);

function allow() {
  for (const button of $("answers").children) button.ariaDisabled = String(!ready());
}

// --------------------------------------------------------------------------------------------------------- answers

function pick(place) {
  if (!current?.views || place >= current.views.length) return;
  if (!current.ranked.includes(place)) current.ranked.push(place);
  places();
}

function places() {
  [...$("stage").children].forEach((card, place) => {
    const rank = current.ranked.indexOf(place);
    card.classList.toggle("chosen", rank >= 0);
    const badge = card.querySelector(".place");
    if (badge) Object.assign(badge, { hidden: rank < 0, textContent: rank + 1 });
  });
}

function rank() {
  if (current.ranked.length === current.views.length - 1)
    current.ranked.push(current.views.findIndex((_, place) => !current.ranked.includes(place)));
  if (current.ranked.length === current.views.length) answer({ type: "order", best_first: current.ranked });
}

const unique = () =>
  crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function answer(value) {
  if (!current?.views) return;
  if (value.type !== "skip" && !ready()) return toast(word("watch"));
  const { question, supersedes, views } = current;
  const sent = {
    id: unique(),
    query: question.query,
    token: question.token,
    value,
    seconds: Math.min(86_400, (performance.now() - current.began) / 1000),
    text: $("text").value.trim(),
    supersedes,
  };
  outbox.push(sent);
  keep(mine, outbox);
  past.push({ question, views, supersedes: sent.id });
  past = past.slice(-UNDOS);
  if (!supersedes) {
    answered += 1;
    times.push(Date.now());
    $("waiting").textContent = Math.max(0, Number($("waiting").textContent) - 1 || 0);
  }
  toast(word(supersedes ? "undone" : "stored"));
  $("reason").hidden = true;
  count();
  next();
  send();
}

function undo() {
  const former = past.pop();
  if (!former) return;
  if (current) queue.unshift({ question: current.question, views: Promise.resolve(current.views ?? look(current.question)), supersedes: current.supersedes });
  queue.unshift({ question: { ...former.question, until: Infinity }, views: Promise.resolve(former.views), supersedes: former.supersedes });
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
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target === $("text")) {
    if (event.key === "Escape") note(false);
    return;
  }
  if (event.target === $("scrub") || event.target === $("speed")) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const film = current?.film;
  const by = (k) => levels().find((each) => each.key.toLowerCase() === k)?.value;
  const seven = current?.question.kind === "compare" && current.question.levels === 7;
  const act = {
    " ": () => film?.toggle(),
    ",": () => film?.step(-1),
    ".": () => film?.step(1),
    r: () => film?.replay(),
    u: undo,
    n: () => note(),
    x: () => answer({ type: "skip", reason: "" }),
    "?": () => $("keys").showModal(),
  };
  if (pressed === " " && event.target.tagName === "BUTTON") return;
  if (act[pressed]) {
    event.preventDefault();
    return act[pressed]();
  }
  if (!current) return;
  if (current.question.kind === "rank") {
    if (/^[1-9]$/.test(pressed)) pick(Number(pressed) - 1);
    else if (pressed === "0") (current.ranked = []), places();
    else if (pressed === "Enter" && (event.target.tagName !== "BUTTON" || event.target.classList.contains("chosen"))) {
      event.preventDefault();
      rank();
    }
    return;
  }
  const arrows = { ArrowLeft: seven ? "2" : "←", a: seven ? "2" : "←", ArrowRight: seven ? "6" : "→", d: seven ? "6" : "→", t: seven ? "4" : "t" };
  const value = by(arrows[pressed] ?? pressed);
  if (value) {
    event.preventDefault();
    answer(value);
  }
}

// ----------------------------------------------------------------------------------------------------------- start

document.addEventListener("keydown", key);
$("play").addEventListener("click", () => current?.film?.toggle());
$("back").addEventListener("click", () => current?.film?.step(-1));
$("forward").addEventListener("click", () => current?.film?.step(1));
$("scrub").addEventListener("input", () => {
  const film = current?.film;
  if (film) film.toggle(false), (film.at = Number($("scrub").value)), film.draw();
});
$("speed").addEventListener("change", () => {
  keep("speed", $("speed").value);
  $("speed").blur(); // so that keys answer again
});
$("undo").addEventListener("click", undo);
$("note").addEventListener("click", () => note());
$("skip").addEventListener("click", () => answer({ type: "skip", reason: "" }));
$("help").addEventListener("click", () => $("keys").showModal());
$("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  keep("language", language);
  speak();
});
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep("theme", root.dataset.theme);
});
addEventListener("online", send);
for (const button of document.querySelectorAll("header button, .transport button, .below button"))
  button.addEventListener("pointerup", () => button.blur()); // whoever clicks goes on by keyboard; whoever tabs stays
if (stored("theme", "")) root.dataset.theme = stored("theme", "");
$("speed").value = stored("speed", "1");
speak();
count();
send();
lease();
