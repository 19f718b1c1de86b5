// All clips of a question on one clock, counted in steps of the environment, and the moments marked on it.

import { $, element, keep, stored, word } from "./page.js";

const SPEEDS = ["0.25", "0.5", "1", "2", "4"];
let film = null; // the one on the screen
let loops = stored("loops", true);

export const speed = () => Number($("speed").value);

export class Film {
  // `clips` are of one question, `marks` those that it has already; `seen` is told once all ran to the end.
  constructor(clips, marks, seen) {
    this.clips = clips;
    this.length = Math.max(...clips.map((clip) => clip.view.frames));
    this.fps = clips[0].view.fps;
    this.marks = new Set(marks);
    this.told = seen;
    this.at = 0;
    this.seen = 0;
    this.last = null;
    this.running = false;
    film = this;
    $("scrub").max = this.length - 1;
    this.draw();
    this.flag();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.toggle(true);
  }
  get watched() {
    return this.seen >= this.length - 1;
  }
  get step() {
    return Math.min(Math.floor(this.at), this.length - 1);
  }
  draw() {
    const step = this.step;
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
    $("mark").ariaPressed = String(this.marks.has(step));
    if (this.watched) this.told();
  }
  toggle(on = !this.running) {
    if (on && !loops && this.at >= this.length - 1) this.at = 0;
    this.running = on;
    this.last = null;
    label(on);
    if (on) requestAnimationFrame((time) => this.tick(time));
  }
  tick(time) {
    if (!this.running || film !== this) return;
    const passed = this.last === null ? 0 : (time - this.last) / 1000;
    this.last = time;
    const end = this.length + 0.4 * this.fps * speed(); // the last frame stays for a moment
    this.at += passed * this.fps * speed();
    if (this.at >= end && loops) this.at = 0;
    else if (this.at >= this.length - 1 && !loops) this.toggle(false);
    this.draw();
    requestAnimationFrame((later) => this.tick(later));
  }
  go(by) {
    this.toggle(false);
    this.at = Math.min(Math.max(Math.floor(this.at) + by, 0), this.length - 1);
    this.draw();
  }
  replay() {
    this.at = 0;
    this.toggle(true);
  }
  mark(step = this.step) {
    if (!this.marks.delete(step)) this.marks.add(step);
    this.flag();
    this.draw();
  }
  flag() {
    $("rail").replaceChildren(
      ...[...this.marks].sort((a, b) => a - b).map((step) => {
        const flag = element("button", { type: "button", className: "flag", title: word("unmark", { step }), ariaLabel: word("unmark", { step }) });
        flag.style.setProperty("--at", this.length > 1 ? step / (this.length - 1) : 0);
        flag.addEventListener("click", () => this.mark(step));
        return flag;
      }),
    );
  }
}

// Nothing runs any more.
export function end() {
  film = null;
  $("rail").replaceChildren();
}

function label(on) {
  $("play").classList.toggle("playing", on);
  $("play").setAttribute("aria-label", word(on ? "pause" : "play"));
}

function loop() {
  keep("loops", (loops = !loops));
  $("loop").ariaPressed = String(loops);
  if (loops && film && film.at >= film.length - 1) film.toggle(true);
}

export function pace(by) {
  const place = SPEEDS.indexOf($("speed").value) + by;
  if (SPEEDS[place]) keep("speed", ($("speed").value = SPEEDS[place]));
}

// What a key does to the clips on the screen; nothing where there are none.
export function key(pressed) {
  if (!film) return false;
  const act = {
    " ": () => film.toggle(), ",": () => film.go(-1), ".": () => film.go(1), r: () => film.replay(), m: () => film.mark(),
    l: loop, "-": () => pace(-1), "+": () => pace(1), "=": () => pace(1),
  }[pressed]; // prettier-ignore
  act?.();
  return Boolean(act);
}

// What the language changes.
export function relabel() {
  label(Boolean(film?.running));
  film?.flag();
}

$("speed").value = SPEEDS.includes(stored("speed", "1")) ? stored("speed", "1") : "1";
$("loop").ariaPressed = String(loops);
$("play").addEventListener("click", () => film?.toggle());
$("back").addEventListener("click", () => film?.go(-1));
$("forward").addEventListener("click", () => film?.go(1));
$("mark").addEventListener("click", () => film?.mark());
$("loop").addEventListener("click", loop);
$("scrub").addEventListener("input", () => {
  if (film) film.toggle(false), (film.at = Number($("scrub").value)), film.draw();
});
$("speed").addEventListener("change", () => {
  keep("speed", $("speed").value);
  $("speed").blur(); // so that keys answer again
});
