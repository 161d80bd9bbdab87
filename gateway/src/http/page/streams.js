// The index: every stream that has a worker, and where it is.

import { $, element } from "./element.js";
import { notAdmitted } from "./outcome.js";
import { linkTo } from "./request.js";
import { Denied, modeInWords, rate, streams } from "./spec.js";

/** Workers come and go while the page is open. */
const ASK_AGAIN_MS = 2_000;

let shown = "";

async function refresh() {
  let denied = null;
  const found = await streams("api/streams").catch((error) => {
    if (error instanceof Denied) denied = notAdmitted(error.message);
    return null;
  });
  $("subtitle").textContent = denied ? `${denied.message}. ${denied.advice}` : status(found);
  // What is there is left alone, so that a person stays where they are in the list.
  const now = JSON.stringify(found ?? []);
  if (now === shown) return;
  shown = now;
  $("streams").replaceChildren(...(found ?? []).map(card));
}

function status(found) {
  if (!found) return "The server does not answer, trying again…";
  switch (found.length) {
    case 0:
      return "Waiting for a worker… This page shows its stream as soon as one is there.";
    case 1:
      return "One stream is served here.";
    default:
      return `${found.length} streams are served here. Choose one.`;
  }
}

function card(stream) {
  const link = element("a", { href: linkTo(`${encodeURIComponent(stream.name)}/`) }, stream.title || stream.name);
  return element(
    "li",
    {},
    element("h2", {}, link),
    element("p", {}, stream.subtitle),
    element("p", { className: "mode" }, `${modeInWords(stream.mode)} · ${rate(stream.fps)}\u00a0fps`),
  );
}

refresh();
setInterval(() => document.hidden || refresh(), ASK_AGAIN_MS);
