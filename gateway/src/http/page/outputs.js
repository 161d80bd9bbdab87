// The displays of a stream's outputs, built from its declaration.
//
// None is a live region: thirty values a second would be read aloud. A person who wants one moves to it.

import { element } from "./element.js";
import { append, drawPlot } from "./plot.js";

/** A handler may send anything; more than this nobody reads. */
const MAX_JSON_CHARS = 20_000;
const MAX_LABELS = 50;

const KINDS = {
  number: { draw: (display, value) => display.replaceChildren(figure(value)) },
  text: { draw: (display, value) => display.replaceChildren(asText(value)) },
  label: { draw: drawLabel },
  json: {
    draw: (display, value) => display.replaceChildren(JSON.stringify(value, null, 2).slice(0, MAX_JSON_CHARS)),
    tag: "pre",
  },
  line_plot: { draw: drawPlot, take: append },
};

export class Outputs {
  #section;
  #heading;
  #displays = new Map();
  #stale = new Set();

  constructor(section) {
    this.#section = section;
    this.#heading = [...section.children];
  }

  /** Shows these displays, and no others. One that was there, and is declared alike, keeps what it shows. */
  show(specs) {
    const before = [...this.#displays.values()];
    const known = specs.filter(({ type }) => type in KINDS);
    this.#displays = new Map(known.map((spec) => [spec.name, this.#kept(spec) ?? made(spec)]));
    const displays = [...this.#displays.values()];
    if (displays.length === before.length && displays.every((shown, i) => shown === before[i])) return;
    before.filter((shown) => !displays.includes(shown)).forEach((shown) => this.#stale.delete(shown));
    this.#section.replaceChildren(...this.#heading, ...displays.map(({ panel }) => panel));
    this.#section.hidden = displays.length === 0;
  }

  #kept(spec) {
    const shown = this.#displays.get(spec.name);
    return shown && JSON.stringify(shown.spec) === JSON.stringify(spec) ? shown : null;
  }

  /** Takes every value, and draws the last ones once for each picture on the screen. */
  update(values) {
    for (const [name, value] of Object.entries(values ?? {})) {
      const shown = this.#displays.get(name);
      if (!shown) continue;
      shown.value = shown.kind.take ? shown.kind.take(shown.value, value, shown.spec) : value;
      if (this.#stale.size === 0) requestAnimationFrame(() => this.#draw());
      this.#stale.add(shown);
    }
  }

  clear() {
    this.#stale.clear();
    for (const shown of this.#displays.values()) {
      shown.value = undefined;
      shown.display.replaceChildren("–");
      delete shown.display.dataset.value;
    }
  }

  #draw() {
    // Before drawing: a value that cannot be drawn must not stop all that follow.
    const stale = this.#stale;
    this.#stale = new Set();
    for (const { kind, display, value } of stale) {
      // A plot keeps more than its values.
      const json = JSON.stringify(kind.take ? value.values : value);
      // What is the same is left alone: a person may be selecting in it.
      if (json === display.dataset.value) continue;
      display.dataset.value = json;
      kind.draw(display, value);
    }
  }
}

function made(spec) {
  const kind = KINDS[spec.type];
  const heading = element("h3", { id: `output-${spec.name}-label` }, spec.label || spec.name);
  const display = element(kind.tag ?? "div", { id: `output-${spec.name}`, className: "display" }, "–");
  // Long texts scroll within their bounds, by keyboard too.
  if (spec.type === "json" || spec.type === "text") display.tabIndex = 0;
  display.setAttribute("role", spec.type === "line_plot" ? "img" : "group");
  display.setAttribute("aria-labelledby", heading.id);
  const panel = element("section", { className: `shown ${spec.type}` }, heading, display);
  return { spec, kind, display, panel, value: undefined };
}

/** A text, or an object of label to confidence: the surest first. */
function drawLabel(display, value) {
  if (typeof value !== "object" || value === null) return display.replaceChildren(asText(value));
  const labels = Object.entries(value)
    .filter(([, confidence]) => typeof confidence === "number")
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_LABELS);
  const rows = labels.map(([label, confidence]) => {
    const bar = element("div", { className: "bar" });
    bar.style.inlineSize = `${100 * Math.min(Math.max(confidence, 0), 1)}%`;
    const percent = element("span", {}, `${Math.round(confidence * 100)} %`);
    return element("li", {}, element("span", {}, label), percent, bar);
  });
  display.replaceChildren(element("ul", {}, ...rows));
}

/** A whole number whole; of others four digits, which is what a person reads of a changing one. */
function figure(value) {
  if (typeof value !== "number") return asText(value);
  return String(Math.abs(value) < 1_000 ? Number(value.toPrecision(4)) : Math.round(value));
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));
