// A line plot that grows at its end. SVG, so that its colours are the page's in light and dark and its size follows.

import { element } from "./element.js";

/** The plot's own units; the browser stretches them to the space there is. */
const [WIDTH, HEIGHT] = [1000, 300];

/**
 * `kept` is `{ values, first }`: the newest values, and how many came before them. A number is appended; an array of
 * numbers or of [x, y] takes the place of what was there.
 */
export function append(kept = { values: [], first: 0 }, value, { points }) {
  const all = Array.isArray(value) ? { values: value, first: 0 } : { ...kept, values: [...kept.values, value] };
  const old = Math.max(all.values.length - points, 0);
  return { values: all.values.slice(old), first: all.first + old };
}

export function drawPlot(display, { values, first }) {
  const line = values
    .map((value, i) => (Array.isArray(value) ? value : [first + i, value]))
    .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (line.length === 0) return display.replaceChildren("–");
  const x = range(line.map(([x]) => x));
  const y = range(line.map(([, y]) => y));
  const points = line.map(([px, py]) => `${(x.part(px) * WIDTH).toFixed(1)},${((1 - y.part(py)) * HEIGHT).toFixed(1)}`);

  if (!display.querySelector("svg")) display.replaceChildren(...frame());
  display.querySelector("polyline").setAttribute("points", points.join(" "));
  const [top, bottom, left, right] = display.querySelectorAll("span");
  [top.textContent, bottom.textContent] = [y.text(y.most), y.text(y.least)];
  [left.textContent, right.textContent] = [x.text(x.least), x.text(x.most)];
  const newest = y.text(line.at(-1)[1]);
  display.setAttribute("aria-description", `Newest ${newest}, from ${bottom.textContent} to ${top.textContent}`);
}

/** Not `Math.min(...)`: an array may be longer than a call has room for arguments. */
function range(numbers) {
  const least = numbers.reduce((a, b) => Math.min(a, b));
  const most = numbers.reduce((a, b) => Math.max(a, b));
  const length = most - least;
  // Three digits of the range; the rest is smaller than the line is thick.
  const digits = Math.min(Math.max(2 - Math.floor(Math.log10(length)), 0), 12);
  return {
    least,
    most,
    // A flat line runs through the middle.
    part: (number) => (length > 0 ? (number - least) / length : 0.5),
    text: (number) => String(Number(length > 0 ? number.toFixed(digits) : number.toPrecision(4))),
  };
}

/** The axes' ends as texts: in the SVG they would be stretched with it. */
function frame() {
  const svg = (name, attributes) => {
    const created = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
    return created;
  };
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" });
  for (const part of [0, 0.5, 1]) {
    picture.append(svg("line", { x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT }));
  }
  picture.append(svg("polyline", {}));
  const ends = (className) => element("div", { className }, element("span"), element("span"));
  return [ends("y-axis"), picture, ends("x-axis")];
}
