// Live figures, from what the browser counts. A figure that it does not know is left out.

import { element } from "./element.js";

export class Figures {
  /** Frames that the handler was too busy for, as the server says. */
  skipped = 0;
  /** From a frame's last packet in to its picture's last packet out, as the server says. */
  serverMs;
  /** What frames took at the worker, as the server says. */
  handler;
  #list;
  #previous = null;

  constructor(list) {
    this.#list = list;
  }

  clear() {
    this.#previous = null;
    this.skipped = 0;
    this.serverMs = this.handler = undefined;
    this.#list.replaceChildren();
  }

  /** `report` is of `RTCPeerConnection.getStats`; rates are those since the last one. */
  show(report) {
    const entries = [...report.values()];
    const video = (type) => entries.find((entry) => entry.type === type && entry.kind === "video");
    const [sent, shown] = [video("outbound-rtp"), video("inbound-rtp")];
    const transport = entries.find((entry) => entry.type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId) ?? entries.find((entry) => entry.nominated);
    const roundTrip = pair?.currentRoundTripTime;
    const codecs = [sent, shown].map((flow) => report.get(flow?.codecId)?.mimeType?.replace("video/", ""));
    this.#list.replaceChildren(
      ...figure("sent", sent && this.#flow(sent, "framesSent", "bytesSent")),
      ...figure("shown", shown && this.#flow(shown, "framesDecoded", "bytesReceived")),
      ...figure("codec", [[...new Set(codecs.filter(Boolean))].join(" / ")]),
      ...figure("skipped", sent && [String(this.skipped)]),
      ...figure("round trip", roundTrip >= 0 && this.#latency(roundTrip * 1000, shown)),
      ...figure("handler", this.handler && handlerTime(this.handler)),
    );
    this.#previous = report;
  }

  /** With a camera from it to the screen: network, server, and what the browser holds back against jitter. */
  #latency(network, shown) {
    if (this.serverMs == null || !shown) return [`${Math.round(network)} ms`, "network"];
    const before = this.#previous?.get(shown.id);
    const held = (1000 * (shown.jitterBufferDelay - (before?.jitterBufferDelay ?? 0))) /
      (shown.jitterBufferEmittedCount - (before?.jitterBufferEmittedCount ?? 0));
    const parts = [network, this.serverMs, Number.isFinite(held) ? held : 0];
    const [a, b, c] = parts.map(Math.round);
    return [`${a + b + c} ms`, `network ${a}, server ${b}, buffer ${c}`];
  }

  /** Frames a second, then what is told in small beside them. */
  #flow(now, frames, bytes) {
    const before = this.#previous?.get(now.id);
    const seconds = (now.timestamp - before?.timestamp) / 1000;
    const rate = (key) => (now[key] - before?.[key]) / seconds;
    const size = now.frameWidth && `${now.frameWidth} × ${now.frameHeight}`;
    return [seconds > 0 ? `${Math.round(rate(frames))} fps` : "… fps", size, seconds > 0 && bits(rate(bytes) * 8)];
  }
}

function figure(name, parts) {
  const [value, ...details] = (parts || []).filter(Boolean);
  if (!value) return [];
  const small = details.length > 0 ? [element("small", {}, details.join(" · "))] : [];
  return [element("div", {}, element("dt", {}, name), element("dd", {}, value, " ", ...small))];
}

/** The handler's own time, then its waits for its turn and for a batch, if they show, and how large batches were. */
function handlerTime({ ms, turn_ms: turn, batch }) {
  const waits = [["turn", turn], ["wait", batch?.wait_ms]].filter(([, wait]) => wait >= 0.05);
  const parts = waits.map(([name, wait]) => `${name} ${short(wait)}`);
  if (batch) parts.push(`batch of ${Number(batch.size.toFixed(1))}`);
  return [`${short(ms)} ms`, parts.join(", ")];
}

const short = (ms) => (ms < 10 ? ms.toFixed(1) : String(Math.round(ms)));

const bits = (perSecond) =>
  perSecond < 1e6 ? `${Math.round(perSecond / 1e3)} kbit/s` : `${(perSecond / 1e6).toFixed(1)} Mbit/s`;
