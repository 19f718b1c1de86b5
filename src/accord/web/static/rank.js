// Ordering cards from best to worst: by keys and clicks one after another, or by dragging them into their order.

import { element } from "./page.js";

const FAR = 6; // pixels after which a press is a drag

export class Ranking {
  constructor(stage) {
    this.stage = stage;
    this.cards = [...stage.children];
    this.picked = []; // places of cards, best first
    for (const [place, card] of this.cards.entries()) {
      card.querySelector(".foot").append(element("span", { className: "place", hidden: true }));
      card.addEventListener("click", () => card.classList.contains("dropped") || this.pick(place));
      card.addEventListener("pointerdown", (event) => this.press(event, card));
      for (const each of card.querySelectorAll("img")) each.draggable = false;
    }
  }
  pick(place) {
    if (place < this.cards.length && !this.picked.includes(place)) this.picked.push(place);
    this.badge();
  }
  again() {
    this.picked = [];
    this.badge();
  }
  // The whole order; the card that is left over is the last. Nothing while more than one is left.
  order() {
    const left = [...this.cards.keys()].filter((place) => !this.picked.includes(place));
    return left.length > 1 ? null : [...this.picked, ...left];
  }
  badge() {
    for (const [place, card] of this.cards.entries()) {
      const rank = this.picked.indexOf(place);
      card.classList.toggle("chosen", rank >= 0);
      Object.assign(card.querySelector(".place"), { hidden: rank < 0, textContent: rank + 1 });
    }
  }
  // A finger scrolls the page unless it holds the card's foot.
  press(event, card) {
    if (event.button !== 0 || (event.pointerType === "touch" && !event.target.closest(".foot"))) return;
    card.classList.remove("dropped");
    const drag = { x: event.clientX, y: event.clientY, begun: false };
    // On the window: a card that changes its place in the page loses hold of the pointer.
    const move = (moved) => this.move(moved, card, drag);
    const drop = () => {
      removeEventListener("pointermove", move);
      for (const over of ["pointerup", "pointercancel"]) removeEventListener(over, drop);
      if (drag.begun) this.drop(card);
    };
    addEventListener("pointermove", move);
    for (const over of ["pointerup", "pointercancel"]) addEventListener(over, drop);
  }
  move(event, card, drag) {
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.begun && Math.hypot(dx, dy) < FAR) return;
    if (!drag.begun) card.classList.add("dragged"), (drag.begun = true);
    card.style.transform = `translate(${dx}px, ${dy}px)`;
    const other = document.elementsFromPoint(event.clientX, event.clientY).map((each) => each.closest(".card")).find((each) => each && each !== card);
    if (!other || other.parentElement !== this.stage) return;
    const before = card.getBoundingClientRect();
    const order = [...this.stage.children];
    if (order.indexOf(other) < order.indexOf(card)) other.before(card);
    else other.after(card);
    const after = card.getBoundingClientRect();
    drag.x += after.x - before.x; // it stays under the pointer
    drag.y += after.y - before.y;
    card.style.transform = `translate(${event.clientX - drag.x}px, ${event.clientY - drag.y}px)`;
  }
  drop(card) {
    card.style.transform = "";
    card.classList.remove("dragged");
    card.classList.add("dropped"); // the click that follows picks nothing
    setTimeout(() => card.classList.remove("dropped"));
    this.picked = [...this.stage.children].map((each) => this.cards.indexOf(each));
    this.badge();
  }
}
