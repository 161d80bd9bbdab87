// The controls of a stream, built from its declaration.

import { element } from "./element.js";

/**
 * One entry for each kind: its control, and what its value is now. Values the browser cannot read as the kind, or that
 * break its bounds, are not sent; the control says so instead.
 */
const KINDS = {
  slider: {
    control: ({ minimum, maximum, step, value }) =>
      element("input", { type: "range", min: minimum, max: maximum, step, value }),
    read: (control) => control.valueAsNumber,
    echo: true,
  },
  number: {
    control: ({ minimum, maximum, step, value }) =>
      element("input", {
        type: "number", inputMode: "decimal", required: true,
        min: minimum ?? "", max: maximum ?? "", step: step ?? "any", value,
      }),
    read: (control) => control.valueAsNumber,
  },
  checkbox: {
    control: ({ value }) => element("input", { type: "checkbox", checked: value }),
    read: (control) => control.checked,
  },
  textbox: {
    control: ({ value, max_length: maxLength, lines, placeholder }) =>
      lines > 1
        ? element("textarea", { rows: lines, maxLength, placeholder, value })
        : element("input", { type: "text", maxLength, placeholder, value }),
    read: (control) => control.value,
  },
  dropdown: {
    control: ({ choices, value }) => {
      const control = element("select", {}, ...choices.map((choice) => new Option(choice, choice)));
      control.value = value;
      return control;
    },
    read: (control) => control.value,
  },
  color_picker: {
    control: ({ value }) => element("input", { type: "color", value }),
    read: (control) => control.value,
    echo: true,
  },
};

export class Inputs {
  #send;
  /** What the person has set since the page was loaded; the others have their declared value. */
  #values = {};
  #unsent = {};

  /** `send(values)` gets what has changed, at most once for each picture on the screen, and the last value always. */
  constructor(form, specs, send) {
    this.#send = send;
    const known = specs.filter(({ type }) => type in KINDS);
    form.append(...known.map((spec) => this.#field(spec, KINDS[spec.type])));
    form.hidden = known.length === 0;
    // Enter in a text field.
    form.addEventListener("submit", (event) => event.preventDefault());
    // A page in the background gets no animation frames.
    document.addEventListener("visibilitychange", () => this.#flush());
  }

  get values() {
    return { ...this.#values };
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
    return element("div", { className: `field ${type}` }, head, control, help, problem);
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
