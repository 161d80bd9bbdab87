// What the server has to say to the person, as toasts.

import { element } from "./element.js";

/** More would cover the video; the oldest goes. */
const MAX_MESSAGES = 4;
const LEVELS = { error: "Error", warning: "Warning", log: "From the server" };

export class Messages {
  #list;

  /** `list` announces what is added to it. */
  constructor(list) {
    this.#list = list;
  }

  /** A handler that fails on every frame must not bury the page: equal messages are counted, not repeated. */
  add(level, text) {
    const shown = this.#find(level, text);
    if (shown) {
      shown.dataset.count = Number(shown.dataset.count) + 1;
      shown.querySelector("strong").textContent = `${LEVELS[level]} (${shown.dataset.count} times)`;
      return;
    }
    const dismiss = element("button", { type: "button" }, "Dismiss");
    const item = element(
      "div",
      { className: `message ${level}` },
      element("p", {}, element("strong", {}, LEVELS[level]), text),
      dismiss,
    );
    item.dataset.key = `${level} ${text}`;
    item.dataset.count = 1;
    dismiss.addEventListener("click", () => item.remove());
    this.#list.append(item);
    if (this.#list.childElementCount > MAX_MESSAGES) this.#list.firstElementChild.remove();
    // On a small screen they scroll.
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  remove(level, text) {
    this.#find(level, text)?.remove();
  }

  clear() {
    this.#list.replaceChildren();
  }

  #find(level, text) {
    return [...this.#list.children].find((item) => item.dataset.key === `${level} ${text}`);
  }
}
