// Sliders, boxes and undo; the server draws. One move is under way at a time, of a dragged slider the last counts.
"use strict";

const byId = (id) => document.getElementById(id);
const samples = byId("samples");
let size = [1, 1], state = null;

let before = Promise.resolve();
function move(path, body) {
  return (before = before.then(() => send(path, body)));
}

async function send(path, body) {
  document.body.classList.add("busy");
  try {
    const asked = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, asked);
    const told = await answer.json();
    if (answer.ok) state = told;
    complain(answer.ok ? "" : told.error);
    return answer.ok;
  } catch {
    complain("The server does not answer. Start it again.");
    return false;
  } finally {
    if (state) show(state);  // after a move that was refused, what was there before
    document.body.classList.remove("busy");
  }
}

function complain(text) {
  byId("fault").hidden = text === "";
  byId("fault").textContent = text;
}

function show(told) {
  size = [told.width, told.height];
  told.pictures.forEach((address, number) => (samples.children[number].querySelector("img").src = address));
  const known = new Set(Array.from(document.querySelectorAll(".dial input"), (slider) => slider.dataset.words));
  Object.keys(told.values).filter((words) => !known.has(words)).forEach(add);
  for (const dial of document.querySelectorAll(".dial")) {
    const slider = dial.querySelector("input");
    const value = told.values[slider.dataset.words] ?? 1;
    if (slider !== document.activeElement || !dragged) slider.value = value;
    dial.querySelector("output").textContent = Number(value.toFixed(2));
    dial.classList.toggle("turned", value !== 1);
  }
  byId("undo").disabled = told.steps.length === 0;
  byId("redo").disabled = told.undone === 0;
  byId("count").textContent = `${told.steps.length} step${told.steps.length === 1 ? "" : "s"}`;
  byId("steps").replaceChildren(...told.steps.map(line));
}

function line(step) {
  const item = document.createElement("li");
  item.textContent = `${step.kind === "set" ? "set" : "painted"} ${step.words} ${step.value}`;
  return item;
}

let dragged = false;
function wire(dial) {
  const slider = dial.querySelector("input");
  slider.addEventListener("input", () => {
    dragged = true;
    dial.querySelector("output").textContent = slider.value;
  });
  slider.addEventListener("change", () => {
    dragged = false;
    move("/api/set", { words: slider.dataset.words, value: Number(slider.value) });
  });
}

function add(words) {
  const dial = document.createElement("label"), name = document.createElement("span"), slider = document.createElement("input");
  dial.className = "dial";
  name.textContent = words;
  Object.assign(slider, { type: "range", min: 0, max: 4, step: 0.1, value: 1 });
  slider.dataset.words = words;
  slider.setAttribute("aria-label", words);
  dial.append(name, slider, document.createElement("output"));
  byId("dials").prepend(dial);
  wire(dial);
}

function place(event, sample) {
  const edge = sample.getBoundingClientRect();
  const share = [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height];
  return share.map((at) => Math.min(Math.max(at, 0), 1));
}

function brushed(number, box) {
  const words = byId("brush").value.trim();
  if (!words) {
    complain("Say first what to paint.");
    return byId("brush").focus();
  }
  const sample = byId("everywhere").checked ? null : number;
  return move("/api/paint", { words, level: Number(byId("level").value), box, sample });
}

function paintable(sample, number) {
  let first = null, shown = null;
  sample.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    sample.setPointerCapture(event.pointerId);
    first = place(event, sample);
    shown = document.createElement("div");
    shown.className = "box";
    sample.append(shown);
  });
  const corners = (event) => {
    const last = place(event, sample);
    return [0, 1].flatMap((axis) => [Math.min(first[axis], last[axis]), Math.max(first[axis], last[axis])]);
  };
  sample.addEventListener("pointermove", (event) => {
    if (!first) return;
    const [left, right, top, bottom] = corners(event).map((share) => `${100 * share}%`);
    Object.assign(shown.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
  });
  const stop = (event, done) => {
    if (!first) return;
    const [left, right, top, bottom] = corners(event);
    shown.remove();
    first = null;
    if (done && right > left && bottom > top) brushed(number, [left * size[0], top * size[1], right * size[0], bottom * size[1]]);
  };
  sample.addEventListener("pointerup", (event) => stop(event, true));
  sample.addEventListener("pointercancel", (event) => stop(event, false));
}

for (let number = 0; number < Number(samples.dataset.n); number++) {
  const sample = document.createElement("div"), picture = document.createElement("img");
  sample.className = "sample";
  picture.alt = `Sample ${number}`;
  picture.draggable = false;
  sample.append(picture);
  samples.append(sample);
  paintable(sample, number);
}
document.querySelectorAll(".dial").forEach(wire);
byId("undo").addEventListener("click", () => move("/api/undo", {}));
byId("redo").addEventListener("click", () => move("/api/redo", {}));
byId("level").addEventListener("input", () => (byId("leveled").textContent = byId("level").value));
byId("whole").addEventListener("click", () => brushed(null, null));
byId("other").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = byId("words").value.trim();
  const known = Array.from(document.querySelectorAll(".dial input")).find((slider) => slider.dataset.words === words);
  if (known) known.focus();
  else if (!words || !(await move("/api/set", { words, value: 1 }))) return;
  byId("words").value = "";
});
move("/api/state");
