// Why no connection came about: which step failed, and what to do about it.

import { noAnswer, noEncryption, noNetwork, relayRefused, relayUnreachable } from "./outcome.js";

/** Browsers' number for "the server did not answer"; others are STUN's, like 401. */
const UNREACHABLE = 701;

/** Takes notes of what a connection's candidates come to. */
export class Diagnosis {
  #peer;
  #candidates = 0;
  #errors = [];

  /** Listens until `signal`. */
  constructor(peer, signal) {
    this.#peer = peer;
    const count = ({ candidate }) => (this.#candidates += candidate?.candidate ? 1 : 0);
    peer.addEventListener("icecandidate", count, { signal });
    peer.addEventListener("icecandidateerror", (error) => this.#errors.push(error), { signal });
  }

  /** Whether there is nothing to wait for: the browser has looked everywhere, and has no candidate. */
  get hopeless() {
    return this.#peer.iceGatheringState === "complete" && this.#candidates === 0;
  }

  /** The outcome of a connection that is not to be waited for any longer. */
  outcome() {
    // The steps in their order: candidates, a way, DTLS on it.
    if (this.#candidates === 0) return this.#noCandidates();
    if (["connected", "completed"].includes(this.#peer.iceConnectionState)) return noEncryption();
    return noAnswer(addresses(this.#peer.remoteDescription?.sdp ?? ""), this.#relay());
  }

  #noCandidates() {
    if (this.#peer.getConfiguration().iceTransportPolicy !== "relay") return noNetwork();
    return this.#relay() ?? relayUnreachable("");
  }

  /** What became of the TURN servers; null when none said no. */
  #relay() {
    const errors = this.#errors.filter(({ url }) => url.startsWith("turn"));
    const refusal = errors.find(({ errorCode }) => errorCode !== UNREACHABLE);
    if (refusal) return relayRefused(refusal.url, `${refusal.errorCode} ${refusal.errorText}`.replace(/[. ]+$/, ""));
    return errors.length > 0 ? relayUnreachable(errors[0].url) : null;
  }
}

/** The server's addresses, each with its protocols: `192.0.2.1 port 7000 (UDP, TCP)`. Each section may name them. */
function addresses(sdp) {
  const protocols = new Map();
  for (const [, protocol, ip, port] of sdp.matchAll(/^a=candidate:\S+ 1 (\S+) \d+ (\S+) (\d+)/gm)) {
    const address = `${ip} port ${port}`;
    protocols.set(address, (protocols.get(address) ?? new Set()).add(protocol.toUpperCase()));
  }
  return [...protocols].map(([address, names]) => `${address} (${[...names].join(", ")})`);
}
