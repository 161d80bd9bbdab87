// The controls of a stream, built from its declaration.

import { element } from "./element.js";

const isNumber = ({ minimum, maximum }, value) =>
  typeof value === "number" && value >= (minimum ?? -Infinity) && value <= (maximum ?? Infinity);

/**
 * One entry for each kind: its control, what its value is now, and whether a value that was set under another
 * declaration fits this one, as the server sees it. Values the browser cannot read as the kind, or that
 * break its bounds, are not sent; the control says so instead.
 */
const KINDS = {
  slider: {
    control: ({ minimum, maximum, step, value }) =>
      element("input", { type: "range", min: minimum, max: maximum, step, value }),
    read: (control) => control.valueAsNumber,
    fits: isNumber,
    echo: true,
  },
  number: {
    control: ({ minimum, maximum, step, value }) =>
      element("input", {
        type: "number", inputMode: "decimal", required: true,
        min: minimum ?? "", max: maximum ?? "", step: step ?? "any", value,
      }),
    read: (control) => control.valueAsNumber,
    fits: isNumber,
  },
  checkbox: {
    control: ({ value }) => element("input", { type: "checkbox", checked: value }),
    read: (control) => control.checked,
    fits: (_, value) => typeof value === "boolean",
  },
  textbox: {
    control: ({ value, max_length: maxLength, lines, placeholder }) =>
      lines > 1
        ? element("textarea", { rows: lines, maxLength, placeholder, value })
        : element("input", { type: "text", maxLength, placeholder, value }),
    read: (control) => control.value,
    fits: ({ max_length: maxLength }, value) => typeof value === "string" && [...value].length <= maxLength,
  },
  dropdown: {
    control: ({ choices, value }) => {
      const control = element("select", {}, ...choices.map((choice) => new Option(choice, choice)));
      control.value = value;
      return control;
    },
    read: (control) => control.value,
    fits: ({ choices }, value) => choices.includes(value),
  },
  color_picker: {
    control: ({ value }) => element("input", { type: "color", value }),
    read: (control) => control.value,
    fits: (_, value) => /^#[0-9a-f]{6}$/i.test(value),
    echo: true,
  },
};

export class Inputs {
  #form;
  #heading;
  #send;
  /** By name: what each control was made from, and its element. */
  #fields = new Map();
  /** What the person has set since the page was loaded; the others have their declared value. */
  #values = {};
  #unsent = {};

  /** `send(values)` gets what has changed, at most once for each picture on the screen, and the last value always. */
  constructor(form, send) {
    this.#form = form;
    this.#heading = [...form.children];
    this.#send = send;
    // Enter in a text field.
    form.addEventListener("submit", (event) => event.preventDefault());
    // A page in the background gets no animation frames.
    document.addEventListener("visibilitychange", () => this.#flush());
  }

  get values() {
    return { ...this.#values };
  }

  /** Shows these controls, and no others. What the person has set stays where it fits. */
  show(specs) {
    const known = specs.filter(({ type }) => type in KINDS);
    const before = [...this.#fields.values()];
    this.#fields = new Map(known.map((spec) => [spec.name, this.#kept(spec) ?? this.#made(spec)]));
    for (const name of Object.keys(this.#values)) {
      if (!this.#fields.has(name)) this.#forget(name);
    }
    const fields = [...this.#fields.values()];
    // What is the same is left alone: a person may be at it.
    if (fields.length === before.length && fields.every((field, i) => field === before[i])) return;
    const focused = document.activeElement?.id;
    for (const field of before) if (!fields.includes(field)) field.shown.remove();
    fields.forEach(({ shown }, at) => {
      const there = this.#form.children[this.#heading.length + at];
      if (there !== shown) this.#form.insertBefore(shown, there ?? null);
    });
    this.#form.hidden = fields.length === 0;
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  }

  /** The field that is there, if it was made from the same; of one that the person has set, the value is theirs. */
  #kept({ value, ...spec }) {
    const field = this.#fields.get(spec.name);
    const same = field && field.made === JSON.stringify(spec);
    return same && (spec.name in this.#values || field.value === value) ? field : null;
  }

  #made({ value, ...spec }) {
    const { name, type } = spec;
    const kind = KINDS[type];
    const own = this.#values[name];
    const keeps = own !== undefined && kind.fits(spec, own);
    const { shown, control } = this.#field({ ...spec, value: keeps ? own : value }, kind);
    // Sent again as the control shows it now, which may have rounded it.
    if (keeps) this.#change(name, kind.read(control));
    else this.#forget(name);
    return { made: JSON.stringify(spec), value, shown };
  }

  #forget(name) {
    delete this.#values[name];
    delete this.#unsent[name];
  }

  #field({ name, label, info, type, ...spec }, { control: create, read, echo }) {
    const id = `input-${name}`;
    const control = create(spec);
    control.id = id;
    control.autocomplete = "off";
    const text = element("label", { htmlFor: id }, label || name);
    const shown = element("output", { htmlFor: id }, echo ? control.value : "");
    const problem = element("p", { className: "problem", id: `${id}-problem`, role: "status" });
    const help = element("p", { className: "info", id: `${id}-info` }, info ?? "");
    control.setAttribute("aria-describedby", `${help.id} ${problem.id}`);
    control.addEventListener("input", () => {
      // A step guides the control's arrows; the server takes any number within the bounds.
      const valid = control.validity.valid || onlyOffStep(control.validity);
      control.setAttribute("aria-invalid", !valid);
      problem.textContent = valid ? "" : control.validationMessage;
      if (echo) shown.textContent = control.value;
      if (valid) this.#change(name, read(control));
    });
    const head = element("div", { className: "head" }, text, shown);
    return { shown: element("div", { className: `field ${type}` }, head, control, help, problem), control };
  }

  #change(name, value) {
    if (Object.keys(this.#unsent).length === 0) requestAnimationFrame(() => this.#flush());
    this.#values[name] = this.#unsent[name] = value;
  }

  #flush() {
    if (Object.keys(this.#unsent).length === 0) return;
    this.#send(this.#unsent);
    this.#unsent = {};
  }
}

function onlyOffStep(validity) {
  const { badInput, rangeOverflow, rangeUnderflow, valueMissing } = validity;
  return validity.stepMismatch && !(badInput || rangeOverflow || rangeUnderflow || valueMissing);
}
