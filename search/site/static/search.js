// Search and filters of the folder of files: the index is one script a layer, read when it is first wanted.
"use strict";
(() => {
  const home = document.body.dataset.home, up = home.slice(0, -"index.html".length);
  const K1 = 1.2, B = 0.75, MOST = 48;
  const index = window.describerIndex = [];  // {layer, folder, units: [[unit, words, formula, score, dead, [images], measure, reliable, withdrawn, has_formula, interval, searched]]}
  let reading = null;

  const script = (name) => new Promise((done, failed) => {
    const part = document.createElement("script");
    part.src = `${up}assets/${name}`; part.onload = done; part.onerror = failed;
    document.head.append(part);
  });
  const read = () => { reading ||= script("index.js").then(() => Promise.all(window.describerParts.map(script))); return reading; };

  const silent = new Set(["a", "an", "the", "of", "in", "on", "and", "or", "not", "with"]);
  const stem = (word) => word.length > 3 && word.endsWith("ies") ? `${word.slice(0, -3)}y` : word.length > 3 && word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word;
  const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []).filter((word) => !silent.has(word)).map(stem);

  const everything = () => index.flatMap((part) => part.units.map((unit) => ({ part, unit, words: words(unit[11]) })));

  function ranked(query, units) {  // Okapi BM25 (Robertson et al. 1994)
    const asked = [...new Set(words(query))];
    const mean = units.reduce((sum, each) => sum + each.words.length, 0) / Math.max(units.length, 1) || 1;
    const found = new Map();
    for (const word of asked) {
      const having = units.filter((each) => each.words.includes(word));
      const weight = Math.log(1 + (units.length - having.length + 0.5) / (having.length + 0.5));
      for (const each of having) {
        const often = each.words.filter((other) => other === word).length;
        const share = often * (K1 + 1) / (often + K1 * (1 - B + B * each.words.length / mean));
        found.set(each, (found.get(each) || 0) + weight * share);
      }
    }
    return [...found].sort((one, other) => other[1] - one[1] || (other[0].unit[3] ?? -Infinity) - (one[0].unit[3] ?? -Infinity)).map((pair) => pair[0]);
  }

  const element = (name, kind, ...inside) => { const made = document.createElement(name); if (kind) made.className = kind; made.append(...inside); return made; };
  function card({ part, unit }) {
    const [number, text, formula, score, dead, images, measure, , withdrawn, , interval] = unit;
    const tiles = images.map((image) => { const picture = element("img"); picture.src = `${up}pictures/${image}.jpg`; picture.alt = ""; picture.loading = "lazy"; return element("span", "tile", picture); });
    const link = element("a", "", element("span", "strip", ...tiles), element("span", "words", text || (dead ? "dead unit" : "no reliable description")));
    if (withdrawn) link.append(element("span", "small", "withdrawn: ", element("s", "", withdrawn)));
    if (formula) link.append(element("span", "formula", formula));
    const between = interval ? ` (${interval[0].toFixed(2)} to ${interval[1].toFixed(2)})` : "";
    link.append(element("span", "small", `${part.layer}:${number}${score === null ? "" : ` · ${measure} ${score.toFixed(2)}${between}`}`));
    link.href = `${up}${part.folder}/${number}/index.html`;
    return element("li", text ? "card" : "card silent", link);
  }
  function show(units, heading) {
    const results = document.getElementById("results");
    const told = element("p", "", units.length > MOST ? `${heading}; the first ${MOST} are shown` : heading);
    results.replaceChildren(told, element("ul", "grid", ...units.slice(0, MOST).map(card)));
  }
  const counted = (number) => `${number.toLocaleString("en")} unit${number === 1 ? "" : "s"}`;

  const form = document.getElementById("search");
  if (form) {
    const search = () => read().then(() => {
      const query = form.elements.q.value.trim(), layer = form.elements.layer.value;
      if (!query) { document.getElementById("results").replaceChildren(); return; }
      const units = ranked(query, everything().filter((each) => !layer || each.part.layer === layer));
      show(units, `${counted(units.length)} for “${query}”`);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try { history.replaceState(null, "", `?${new URLSearchParams(new FormData(form))}`); } catch { /* some browsers refuse it to files */ }
      search();
    });
    const asked = new URLSearchParams(location.search);
    if (asked.get("q")) { form.elements.q.value = asked.get("q"); form.elements.layer.value = asked.get("layer") || ""; search(); }
  }

  const filters = document.getElementById("filters");
  if (filters) filters.addEventListener("submit", (event) => {
    event.preventDefault();
    read().then(() => {
      const asked = Object.fromEntries(new FormData(filters)), least = asked.min === "" ? -Infinity : Number(asked.min);
      const parts = asked.q.toLowerCase().split(/\s+/).filter(Boolean);
      const units = everything().filter(({ part, unit: [number, text, , score, dead, , , reliable, withdrawn, form, , searched] }) => {
        const all = `${searched} ${asked.kind === "withdrawn" ? withdrawn : ""} ${part.layer}:${number}`.toLowerCase();
        const kinds = { described: Boolean(text), reliable: reliable === true, withdrawn: Boolean(withdrawn), formula: Boolean(form), silent: !text && !dead, dead: Boolean(dead) };
        return part.layer === filters.dataset.layer && (kinds[asked.kind] ?? true) && (least === -Infinity || (score !== null && score >= least)) && parts.every((word) => all.includes(word));
      });
      if (asked.sort === "score") units.sort((one, other) => (other.unit[3] ?? -Infinity) - (one.unit[3] ?? -Infinity));
      show(units, counted(units.length));
    });
  });
})();
