// Text as nodes in which letters that cannot be seen, or that turn the order of others round, stand as their numbers.

// Controls but tab and line feed, soft hyphens, zero-width letters, directions, fillers, byte order marks, tags.
const ODD =
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180E\u200B-\u200F\u202A-\u202E\u2028\u2029\u2060-\u206F\u3164\uFEFF\uFFA0\uFFF9-\uFFFB]|[\u{E0000}-\u{E0FFF}]|[\uD800-\uDFFF]/gu;
const JOINERS = "\u200C\u200D";
const JOINED = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F\p{Script=Arabic}\p{Script=Syriac}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Malayalam}\p{Script=Sinhala}]/u;

// A joiner within a family of emoji, or in a script that is written with it, is no trick.
const meant = (text, at) => JOINERS.includes(text[at]) && JOINED.test([...text.slice(Math.max(0, at - 2), at)].at(-1) ?? "");

export function visible(text) {
  const box = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(ODD)) {
    if (meant(text, found.index) || found[0] === "\r") continue;
    const code = `U+${found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    box.append(text.slice(from, found.index));
    box.append(Object.assign(document.createElement("span"), { className: "odd", textContent: code }));
    from = found.index + found[0].length;
  }
  box.append(text.slice(from));
  return box;
}
