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
  #displays = new Map();
  #stale = new Set();

  constructor(section, specs) {
    for (const spec of specs) {
      const kind = KINDS[spec.type];
      if (!kind) continue;
      const heading = element("h3", { id: `output-${spec.name}-label` }, spec.label || spec.name);
      const display = element(kind.tag ?? "div", { id: `output-${spec.name}`, className: "display" });
      // Long texts scroll within their bounds, by keyboard too.
      if (spec.type === "json" || spec.type === "text") display.tabIndex = 0;
      display.setAttribute("role", spec.type === "line_plot" ? "img" : "group");
      display.setAttribute("aria-labelledby", heading.id);
      section.append(element("section", { className: `shown ${spec.type}` }, heading, display));
      this.#displays.set(spec.name, { spec, kind, display, value: undefined });
    }
    section.hidden = this.#displays.size === 0;
    this.clear();
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
