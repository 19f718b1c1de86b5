// How two texts differ, word by word.

const CELLS = 4_000_000; // of the table at most: what is longer counts as changed throughout

// In Chinese, too, words are what is compared.
export function words(text) {
  if (!Intl.Segmenter) return text.match(/\s+|[\p{L}\p{N}]+|./gsu) ?? [];
  return Array.from(new Intl.Segmenter(undefined, { granularity: "word" }).segment(text), ({ segment }) => segment);
}

// Pieces in order: [text, -1 for what only the first has, 1 for what only the second has, 0 for both].
export function diff(first, second) {
  const [a, b] = [words(first), words(second)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const middle = changed(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const pieces = [[a.slice(0, head).join(""), 0], ...middle, [a.slice(a.length - tail).join(""), 0]];
  return joined(pieces);
}

// The longest common subsequence, from a table of how long it is from each place on.
function changed(a, b) {
  if (a.length * b.length > CELLS) return [[a.join(""), -1], [b.join(""), 1]];
  const width = b.length + 1;
  const left = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      left[i * width + j] = a[i] === b[j] ? left[(i + 1) * width + j + 1] + 1 : Math.max(left[(i + 1) * width + j], left[i * width + j + 1]);
  const pieces = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) pieces.push([a[i], 0]), (i += 1), (j += 1);
    else if (j >= b.length || (i < a.length && left[(i + 1) * width + j] >= left[i * width + j + 1])) pieces.push([a[i], -1]), (i += 1);
    else pieces.push([b[j], 1]), (j += 1);
  }
  return pieces;
}

// Changes that lie next to each other, or with nothing but space between them, as one: what is gone, then what is new.
function joined(pieces) {
  const found = [];
  let run = ["", ""];
  const close = () => {
    for (const [place, side] of [[0, -1], [1, 1]]) if (run[place]) found.push([run[place], side]);
    run = ["", ""];
  };
  for (const [place, [text, side]] of pieces.entries()) {
    const changes = (at) => pieces[at] !== undefined && pieces[at][1] !== 0;
    if (side !== 0) run[side < 0 ? 0 : 1] += text;
    else if (!text.trim() && changes(place - 1) && changes(place + 1)) run = run.map((each) => each + text);
    else close(), found.push([text, 0]);
  }
  close();
  return found.filter(([text]) => text);
}
