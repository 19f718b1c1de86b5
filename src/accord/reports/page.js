// Draws the figures in the page's own colours and language, and redraws them when either changes.
(() => {
  "use strict";
  const root = document.documentElement;
  const { figures, words } = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const all = (selector) => [...document.querySelectorAll(selector)];
  const htmlLang = { en: "en", zh: "zh-Hans" };

  // A file opened from disk may be refused storage: the choice then lasts as long as the page.
  const kept = {
    get(key) { try { return localStorage.getItem("accord." + key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem("accord." + key, value); } catch { /* not kept */ } },
  };

  const lang = () => root.dataset.lang;

  // "@name" under a key that ends in "color" is the style's own --name.
  function painted(value, key = "") {
    if (Array.isArray(value)) return value.map((each) => painted(each, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, k)]));
    }
    if (typeof value === "string" && value.startsWith("@") && key.endsWith("color")) {
      return getComputedStyle(root).getPropertyValue("--" + value.slice(1)).trim();
    }
    return value;
  }

  function draw(element) {
    const figure = figures[lang()][element.dataset.figure];
    const layout = painted(figure.layout);
    layout.font.family = getComputedStyle(document.body).fontFamily;
    element.setAttribute("aria-label", figure.alt);
    return Plotly.react(element, painted(figure.data), layout, { displayModeBar: false, responsive: true });
  }

  const drawAll = () => Promise.all(all(".plot").map(draw));

  function setLang(next) {
    root.dataset.lang = next;
    root.lang = htmlLang[next];
    all("[data-set-lang]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.setLang === next)));
    document.getElementById("theme").setAttribute("aria-label", words[next].theme);
    all("img[data-alt-en]").forEach((img) => { img.alt = img.getAttribute("data-alt-" + next); });
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  function setTheme(next) {
    root.dataset.theme = next;
    document.getElementById("theme").setAttribute("aria-pressed", String(next === "dark"));
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source); // where the clipboard is refused, the text stands selected
      return;
    }
    const old = button.innerHTML;
    button.textContent = words[lang()].copied;
    setTimeout(() => { button.innerHTML = old; }, 1600);
  }

  function swap(button) {
    const plot = button.closest("figure").querySelector(".plot");
    plot.dataset.figure = button.dataset.swap;
    all("[data-swap]").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    draw(plot);
  }

  // The clip rests on its first frame where no motion is wished, or once it is stopped.
  const still = document.getElementById("still");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  function rest(on) {
    still.media = on ? "all" : "print";
    still.closest("figure").toggleAttribute("data-resting", on);
  }

  if (still) {
    document.getElementById("motion").hidden = false;
    rest(calm.matches);
    calm.addEventListener("change", () => rest(calm.matches));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.setLang) {
      setLang(button.dataset.setLang);
      kept.set("lang", button.dataset.setLang);
      drawAll();
    } else if (button.id === "theme") {
      setTheme(isDark() ? "light" : "dark");
      kept.set("theme", root.dataset.theme);
      drawAll();
    } else if (button.id === "motion") {
      rest(!button.closest("figure").hasAttribute("data-resting"));
    } else if (button.dataset.swap) {
      swap(button);
    } else if (button.dataset.copy) {
      copy(button);
    }
  });

  dark.addEventListener("change", () => { if (!root.dataset.theme) drawAll(); });

  // Paper is white.
  let before;
  addEventListener("beforeprint", () => { before = root.dataset.theme; root.dataset.theme = "light"; drawAll(); });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
    drawAll();
  });

  if (kept.get("theme")) setTheme(kept.get("theme"));
  setLang(kept.get("lang") in htmlLang ? kept.get("lang") : lang());
  drawAll().then(() => { root.dataset.ready = "true"; });
})();
