// What pages can do beyond reading: theme, keys, zoom, pictures that are dropped. Everything works without it.
"use strict";
(() => {
  const root = document.documentElement, byId = (id) => document.getElementById(id);
  document.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });

  const kept = { get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
                 set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* files may not keep */ } } };
  const theme = byId("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const shown = () => { if (theme) { theme.setAttribute("aria-pressed", String(dark())); theme.textContent = dark() ? "Light" : "Dark"; } };
  if (["dark", "light"].includes(kept.get("theme"))) root.dataset.theme = kept.get("theme");
  if (theme) theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; kept.set("theme", root.dataset.theme); shown(); });
  shown();

  const masks = byId("masks");
  if (masks) {
    if (kept.get("masks") === "off") masks.checked = false;
    masks.addEventListener("change", () => kept.set("masks", masks.checked ? "on" : "off"));
  }

  const follow = (selector) => { const link = document.querySelector(selector); if (link) link.click(); return Boolean(link); };
  const keys = {
    "/": () => { const q = byId("q"); if (q) { q.focus(); q.select(); } return Boolean(q); },
    ArrowRight: () => follow("main a[rel=next]"), j: () => follow("main a[rel=next]"),
    ArrowLeft: () => follow("main a[rel=prev]"), k: () => follow("main a[rel=prev]"),
    u: () => follow("#up"), m: () => { if (masks) masks.click(); return Boolean(masks); },
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (Object.hasOwn(keys, event.key) && keys[event.key]()) event.preventDefault();
  });

  document.querySelectorAll("a.zoom").forEach((link) => link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const dialog = document.createElement("dialog"), close = document.createElement("button"), line = document.createElement("p");
    dialog.setAttribute("aria-label", link.querySelector("img").alt);
    dialog.append(link.querySelector(".tile").cloneNode(true));
    close.textContent = "Close"; close.autofocus = true;
    close.addEventListener("click", () => dialog.close());
    line.append(close); dialog.append(line); document.body.append(dialog);
    dialog.addEventListener("click", (inside) => { if (inside.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
    dialog.showModal();
  }));

  const drop = byId("drop"), picture = byId("picture");
  if (drop && picture) {
    const take = (files) => { if (files && files.length) { picture.files = files; drop.requestSubmit(); } };
    document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    document.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });
    document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files); });
  }
})();
