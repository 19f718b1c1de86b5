// Driving an environment: keys or buttons are held, their steps go to the server a few at a time, and its frames come
// back. The server alone knows the environment; whatever is lost on the way is asked for again.

import { $, banner, element, keep, post, send, stored, toast, word } from "./page.js";
import { pace, speed } from "./film.js";

const KEYS = {
  left: ["ArrowLeft", "a"], right: ["ArrowRight", "d"], up: ["ArrowUp", "w"], down: ["ArrowDown", "s"], fire: [" "],
}; // prettier-ignore
const SIGNS = { left: "←", right: "→", up: "↑", down: "↓", fire: "Space" };
const keysOf = (name) => KEYS[name] ?? [name];
const GAP = 100; // milliseconds between two requests at least
const RETRY = 1000;

let drive = null; // the one on the screen

export class Drive {
  // `keep` steps of the clip stay; `told` hears of every change.
  constructor(query, kept, told) {
    Object.assign(this, { query, kept, told, attempt: 0, turn: 0 });
    drive = this;
    $("drive").hidden = false;
    $("stepwise").checked = stored("stepwise", false);
    $("drive-tools").append($("speed-box"));
    this.begin();
  }
  async begin() {
    this.reset("opening");
    try {
      const begun = await post("/api/drive", { query: this.query, keep: this.kept, attempt: this.attempt });
      if (drive !== this) return;
      Object.assign(this, begun);
      if (!begun.drive) return this.become("cannot");
      this.pad();
      await this.ask([]);
      this.become("ready");
    } catch (error) {
      const later = error instanceof TypeError || error.status === 429;
      if (later) this.lost(error, () => this.begin());
      else if (drive === this) (this.why = "screen"), this.become("cannot");
    }
  }
  reset(state) {
    Object.assign(this, { held: [], fresh: new Set(), gone: new Set(), pending: [], due: 0, last: null, flying: false, sent: 0, reel: [], next: 0 });
    this.become(state);
  }
  become(state) {
    this.state = state;
    this.tell();
    this.told();
    this.turn += 1; // of several clocks the last one counts
    const turn = this.turn;
    if (state === "running" || state === "over") requestAnimationFrame((time) => this.tick(time, turn));
  }
  get stepwise() {
    return $("stepwise").checked;
  }

  // ---------------------------------------------------------------------------------------------- what is pressed

  goes() {
    if (["ready", "paused"].includes(this.state)) this.become("running");
    return this.state === "running";
  }
  press(place) {
    if (!this.goes()) return;
    if (this.stepwise) return this.queue([place]);
    this.held = [...this.held.filter((each) => each !== place), place];
    this.fresh.add(place); // a short tap is a step all the same
    this.gone.delete(place);
  }
  release(place) {
    if (this.fresh.has(place)) this.gone.add(place);
    else this.held = this.held.filter((each) => each !== place);
  }
  queue(held) {
    if (this.pending.length < this.steps && this.at + this.pending.length < this.length) this.pending.push(held);
    this.fresh.clear();
    this.held = this.held.filter((place) => !this.gone.has(place));
    this.gone.clear();
  }
  still() {
    if (this.stepwise && !this.waits && this.goes()) this.queue([]);
  }
  pause() {
    if (this.state === "running") this.become("paused");
    else this.goes();
  }
  // Whether it may begin again: also where there was no room before.
  get free() {
    return this.state !== "opening" && (this.state !== "cannot" || this.why === "busy");
  }
  again() {
    if (!this.free) return;
    this.attempt += 1;
    this.begin();
  }

  // ------------------------------------------------------------------------------------------------------- the clock

  tick(time, turn) {
    if (drive !== this || turn !== this.turn) return;
    const passed = this.last === null ? 0 : Math.min(0.25, (time - this.last) / 1000);
    this.last = time;
    if (!this.stepwise && this.state === "running" && (this.held.length || !this.waits)) {
      this.due += passed * this.fps * speed();
      while (this.due >= 1 || this.fresh.size) {
        this.queue([...this.held]);
        this.due = Math.max(0, this.due - 1);
      }
    }
    this.play(time);
    if (this.pending.length && !this.flying && time - this.sent >= GAP) this.fly(time);
    if (this.state === "running" || this.reel.length) requestAnimationFrame((later) => this.tick(later, turn));
  }
  async fly(time) {
    this.flying = true;
    this.sent = time;
    const batch = this.pending.splice(0, this.steps);
    while (drive === this) {
      try {
        await this.ask(batch);
        break;
      } catch (error) {
        if (error.status === 404) return this.lost(error, () => this.begin());
        this.lost(error, null);
        await new Promise((done) => setTimeout(done, RETRY));
      }
    }
    this.flying = false;
  }
  async ask(pressed) {
    const id = this.drive;
    const answer = await send("/api/drive/steps", { drive: id, at: this.at, pressed });
    const facts = Object.fromEntries([...answer.headers.get("content-type").matchAll(/(\w+)=([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]));
    const strip = await createImageBitmap(await answer.blob());
    if (drive !== this || id !== this.drive) return;
    banner();
    const width = strip.width / Math.min(facts.columns, facts.frames);
    const gap = (1000 * Math.max(1, pressed.length)) / (this.fps * speed()) / facts.frames;
    for (let i = 0; i < facts.frames; i += 1) this.reel.push({ strip, x: i * width, width, gap });
    this.at = facts.at;
    if (this.state !== "running") this.paint(this.reel.splice(0).at(-1));
    if (facts.over) (this.pending = []), this.become("over");
    this.tell();
  }
  // Frames at the pace of the environment; those that pile up are passed over.
  play(time) {
    if (!this.reel.length || (time < this.next && this.reel.length < 8)) return;
    const frame = this.reel.shift();
    this.next = time + frame.gap;
    this.paint(frame);
  }
  paint({ strip, x, width }) {
    const canvas = $("view");
    if (canvas.width !== width || canvas.height !== strip.height) Object.assign(canvas, { width, height: strip.height });
    canvas.getContext("2d").drawImage(strip, x, 0, width, strip.height, 0, 0, width, strip.height);
  }
  lost(error, after) {
    if (drive !== this) return;
    if (error instanceof TypeError) banner(word("drive_offline"));
    else if (error.status !== 429) toast(word("drive_lost"));
    if (after) setTimeout(() => drive === this && after(), RETRY);
  }
  async hand() {
    if (this.state !== "over") return null;
    try {
      return { type: "given", ...(await post("/api/drive/segment", { drive: this.drive })) };
    } catch (error) {
      this.lost(error, error.status === 404 ? () => this.begin() : null);
      return null;
    }
  }

  // ---------------------------------------------------------------------------------------------------- what is told

  tell() {
    const told = { opening: "loading", cannot: `cannot_${this.why}`, ready: this.waits ? "drive_waits" : "drive_ready", running: "drive_running", paused: "drive_paused", over: "drive_over" };
    const text = word(told[this.state], { step: this.at ?? 0, length: this.length ?? 0 });
    $("drive-told").ariaLive = this.state === "running" ? "off" : "polite"; // nobody wants every step read out
    if ($("drive-told").textContent !== text) $("drive-told").textContent = text;
    Object.assign($("drive-done"), { max: this.length ?? 1, value: this.at ?? 0, hidden: this.state === "cannot" });
    $("drive").classList.toggle("cannot", this.state === "cannot");
  }
  pad() {
    $("pad").replaceChildren(
      ...this.controls.map((name, place) => {
        const text = word(SIGNS[name] ? `go_${name}` : "go_number", { number: name });
        const sign = element("kbd", { textContent: SIGNS[name] ?? name, ariaHidden: "true" });
        const button = element("button", { type: "button", className: `go ${name}` }, sign, text);
        button.addEventListener("pointerdown", (event) => (button.setPointerCapture(event.pointerId), this.press(place)));
        for (const over of ["pointerup", "pointercancel"]) button.addEventListener(over, () => this.release(place));
        button.addEventListener("click", (event) => event.detail === 0 && (this.press(place), this.release(place)));
        button.addEventListener("contextmenu", (event) => event.preventDefault());
        return button;
      }),
    );
  }
}

export function end() {
  drive = null;
  $("drive").hidden = true;
  $("transport").append($("speed-box"));
  $("pad").replaceChildren();
}

export function relabel() {
  if (!drive) return;
  if (drive.controls) drive.pad();
  drive.tell();
}

const placeOf = (pressed) => drive?.controls?.findIndex((name) => keysOf(name).includes(pressed)) ?? -1;

// What a key does to the drive on the screen; false where it is none of the drive's.
export function key(pressed, event) {
  const place = placeOf(pressed);
  if (place >= 0) {
    if (!event.repeat || drive.stepwise) drive.press(place);
    return true;
  }
  if (!drive) return false;
  const act = {
    " ": () => drive.pause(), p: () => drive.pause(), r: () => drive.again(), ".": () => drive.still(),
    "-": () => pace(-1), "+": () => pace(1), "=": () => pace(1),
  }[pressed]; // prettier-ignore
  act?.();
  return Boolean(act);
}

addEventListener("keyup", (event) => {
  const place = placeOf(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (place >= 0) drive.release(place);
});
addEventListener("blur", () => drive?.held.forEach((place) => drive.release(place)));
$("stepwise").addEventListener("change", () => {
  keep("stepwise", $("stepwise").checked);
  $("stepwise").blur();
});
