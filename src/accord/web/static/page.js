// What every part of the page stands on: the page's data and words, settings kept in the browser, the way to the server.

export const data = JSON.parse(document.getElementById("data").textContent);
export const $ = (id) => document.getElementById(id);
export const root = document.documentElement;
export const stored = (key, otherwise) => JSON.parse(localStorage.getItem(`accord-${key}`) ?? "null") ?? otherwise;
export const keep = (key, value) => localStorage.setItem(`accord-${key}`, JSON.stringify(value));

let language = stored("language", root.dataset.language);

export const word = (key, values = {}) =>
  Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, value), data.words[key][language]);

// Says everything that stands in the page in the language chosen, or in the other one.
export function speak(other = false) {
  if (other) keep("language", (language = language === "en" ? "zh" : "en"));
  root.lang = language === "zh" ? "zh-Hans" : "en";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", word(each.dataset.label));
  for (const each of document.querySelectorAll("[data-hint]")) each.placeholder = word(each.dataset.hint);
}

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => box.classList.remove("on"), 1800);
}

export function banner(text) {
  $("banner").textContent = text ?? "";
  $("banner").hidden = !text;
}

export class Refused extends Error {
  constructor(status) {
    super(`${status}`);
    this.status = status;
  }
}

// A TypeError: no connection. Refused: the server said no.
export async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", [data.header]: data.token },
    body: JSON.stringify(body),
  });
  if (answer.status === 401 || answer.status === 403) banner(word("ended"));
  if (!answer.ok) throw new Refused(answer.status);
  return answer;
}

export const post = async (path, body) => (await send(path, body)).json();

export const unique = () =>
  crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
