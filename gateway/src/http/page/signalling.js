// How an offer gets its answer over HTTP.

import { UNREACHABLE, failed, isPassing, refused } from "./outcome.js";
import { request } from "./request.js";

/** Between two offers meanwhile, when the server does not say how long. */
const RETRY_MS = 2_000;
/** Whatever the server says: a person is waiting. */
const MAX_RETRY_MS = 30_000;

export class Signalling {
  // Not randomUUID(), which pages over plain http lack: they shall come as far as the text about the camera.
  #id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  #over;
  /** The server's token of this session; before its first answer, of the session whose place it takes. */
  #token;
  /** Candidates from before the first answer, which brings the token that they need; null from then on. */
  #early = [];

  /** Everything ends when the signal `over` does. `token`: of the session whose place this one takes, if there is one. */
  constructor(over, token) {
    this.#over = over;
    this.#token = token;
  }

  /** For the session that takes this one's place. */
  get token() {
    return this.#token;
  }

  /**
   * Resolves to the server's answer; throws an `Outcome`. The server has only to look for a free place: if it takes
   * longer than `timeoutMs`, it is stuck. While it has no room it says `waiting(error)`, if that is given, and offers
   * again, each time with what `offer()` returns then: candidates are found, and inputs set, meanwhile. It is given up when
   * `interrupt` is aborted.
   */
  async answer(offer, timeoutMs, waiting, interrupt) {
    for (;;) {
      let response, text;
      try {
        const signal = AbortSignal.any([this.#over, AbortSignal.timeout(timeoutMs), ...(interrupt ? [interrupt] : [])]);
        response = await this.#post({ ...offer(), type: "offer", webrtc_id: this.#id }, signal);
        text = await response.text();
      } catch {
        throw UNREACHABLE;
      }
      let answer;
      try {
        answer = JSON.parse(text);
      } catch {
        throw refused(response.status, text);
      }
      if (response.ok && answer.status !== "failed") return this.#answered(answer);
      if (response.ok) throw failed(answer.meta ?? {});
      const error = answer.meta?.error;
      if (!waiting || !isPassing(error)) {
        const outcome = refused(response.status, answer.meta?.message ?? text);
        // The page may have been made from a declaration that holds no more.
        outcome.stale = error === "invalid_offer" || error === "invalid_input";
        throw outcome;
      }
      waiting(error);
      await this.#pause(retryAfter(response));
    }
  }

  /** Nobody waits for it or hears of its failure: it is one path fewer, and the diagnosis speaks when none is left. */
  trickle(candidate) {
    if (!candidate?.candidate) return;
    if (this.#early) {
      this.#early.push(candidate);
      return;
    }
    const body = { type: "ice-candidate", candidate: candidate.toJSON(), webrtc_id: this.#id };
    this.#post(body, this.#over).catch(() => {});
  }

  #answered({ session_token: token, ...answer }) {
    this.#token = token ?? this.#token;
    const early = this.#early ?? [];
    this.#early = null;
    early.forEach((candidate) => this.trickle(candidate));
    return answer;
  }

  #post(body, signal) {
    return request("webrtc/offer", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, session_token: this.#token }),
      signal,
    });
  }

  /** Throws when the session ends meanwhile. */
  async #pause(milliseconds) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#over.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
    this.#over.throwIfAborted();
  }
}

/**
 * Not before the header's seconds are over, and spread over as long again: those that were refused together shall not
 * come again together. The header's other form, a date, is as good as none.
 */
function retryAfter(response) {
  const seconds = Number.parseFloat(response.headers.get("retry-after"));
  const told = seconds >= 0 ? Math.min(seconds * 1_000, MAX_RETRY_MS) : RETRY_MS;
  return told * (1 + Math.random());
}
