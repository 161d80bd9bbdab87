// One Start-to-Stop of a stream: the camera, and the connection that it goes through. When that is lost, or the server
// asks for it, another takes its place; only here is that decided.

import { openCamera } from "./camera.js";
import { Connection } from "./connection.js";
import { configuration } from "./network.js";
import { CAMERA_LOST, Outcome, REPLACED, Refusal, notRegained, phaseOf } from "./outcome.js";
import { sendsCamera } from "./spec.js";

/** A person has just pressed Start. Chromium by itself gives up on ICE only after 15-30 s, or never. */
const FIRST = { answerMs: 20_000, connectMs: 20_000, queue: true };
/** A server that is stuck must not hold up the way to another one. */
const AGAIN = { answerMs: 3_000, connectMs: 5_000, queue: false };
/**
 * Before each try to connect again, at most; the last one holds from then on. Each is drawn between nothing and that: a
 * server that dies leaves all its pages at once, and they shall not come to the next one together.
 */
const PAUSES_MS = [500, 1_000, 2_000, 4_000];
/** One that held for so long was good: what comes after it begins with the first pause again. */
const GOOD_AFTER_MS = 10_000;
/** A server that is leaving tells all its pages at once; they spread over this too. It serves them meanwhile. */
const SPREAD_MS = 1_000;
/** Before another try where the server had no place after all. */
const PLACE_MS = 2_000;
/** Without a connection for so long, a session has failed. */
const REGAIN_MS = 60_000;

/**
 * Knows nothing of the page. `on` is told: `camera(stream)`; `video(stream)`, which promises its first picture;
 * `message(level, text)`, `outputs(values)`, `stats(data)`; `phase(name)` with asking, connecting, waiting, busy, away, connected
 * or replacing; `declared(stream)`, when the stream is declared otherwise now, a digest if that has to be asked for; `lost()`,
 * when it has no connection any more and looks for another; and `over(state, outcome)`, exactly once and last: idle,
 * ended, failed, changed where the stream cannot go on as it is declared now, or stale where the server refuses what the
 * page was made from. It is asked: `choice()` of the camera, `inputs()`, all that the person has set, and `known()`, the
 * declaration that the page was made from.
 */
export class Session {
  #on;
  #over = new AbortController();
  #mode;
  #camera = null;
  /** Promises the configuration of the first connection, while the camera starts. */
  #network = null;
  /** The connection that is shown. */
  #current = null;
  /** The server's token of the connection that was shown last: it opens another in its place. */
  #token;
  /** The one that is being made. */
  #next = null;
  #replacing = false;
  /** Tries since a connection was good. */
  #tries = 0;
  /** When the current connection came to be shown. */
  #since = 0;
  /** When the last one was lost. */
  #lostAt = 0;

  constructor(on) {
    this.#on = on;
  }

  /** `described` promises the stream's declaration. */
  async start(described) {
    try {
      this.#network = configuration(this.#over.signal);
      this.#mode = (await described).mode;
      this.#over.signal.throwIfAborted();
      if (sendsCamera(this.#mode)) {
        this.#on.phase("asking");
        await this.#open(this.#on.choice());
      }
      await this.#begin();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Waits for a place also where the server finds only after its answer that it has none. */
  async #begin() {
    for (;;) {
      try {
        this.#on.phase("connecting");
        return await this.#connect(FIRST);
      } catch (error) {
        if (!(error instanceof Refusal && error.passing)) throw error;
        this.#on.phase(phaseOf(error.error));
        await this.#pause(PLACE_MS);
      }
    }
  }

  /** Changes camera or size of a live session; the connection stays. */
  async switchCamera(choice) {
    try {
      const track = await this.#open(choice);
      await Promise.all(this.#connections().map((connection) => connection.replaceTrack(track)));
    } catch (error) {
      this.#fail(error);
    }
  }

  setInputs(values) {
    this.#connections().forEach((connection) => connection.setInputs(values));
  }

  report() {
    return this.#current.report();
  }

  /** Ends the session and gives back everything. Later calls do nothing: the first outcome is the true one. */
  finish(state, outcome) {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#connections().forEach((connection) => connection.close(outcome));
    this.#camera?.getTracks().forEach((track) => track.stop());
    this.#on.over(state, outcome);
  }

  /** Errors of a session that is over already are echoes of its end. */
  #fail(error) {
    if (this.#over.signal.aborted) return;
    if (!(error instanceof Outcome)) {
      console.error(error);
      error = new Outcome("Something went wrong in the page", `${error}. Reload the page and try again.`);
    }
    this.finish(error.stale ? "stale" : "failed", error);
  }

  #connections() {
    return [this.#current, this.#next].filter(Boolean);
  }

  async #open(choice) {
    // Before the next one: many phones cannot have two cameras open.
    this.#camera?.getTracks().forEach((track) => track.stop());
    const camera = await openCamera(choice);
    if (this.#over.signal.aborted) camera.getTracks().forEach((track) => track.stop());
    this.#over.signal.throwIfAborted();
    this.#camera = camera;
    const [track] = camera.getVideoTracks();
    track.addEventListener("ended", () => this.#fail(CAMERA_LOST), { signal: this.#over.signal });
    this.#on.camera(camera);
    return track;
  }

  /** Makes a connection and shows it. One that is shown goes on until then: both send the same camera. */
  async #connect(patience) {
    const network = await (this.#network ?? configuration(this.#over.signal, this.#token));
    this.#network = null;
    this.#over.signal.throwIfAborted();
    const old = this.#current;
    const next = new Connection(this.#mode, this.#camera, network, this.#token, this.#listener(() => next));
    this.#next = next;
    try {
      await next.open(patience);
      const shown = next.video && this.#on.video(next.video);
      if (old) {
        const failure = await Promise.race([shown, next.closed, old.closed.then(() => null)]);
        if (failure) throw failure;
      }
    } finally {
      this.#next = null;
    }
    this.#current = next;
    this.#token = next.token;
    this.#since = performance.now();
    // It was said while another one was shown.
    if (next.declared !== undefined) this.#on.declared(next.declared);
    this.#on.phase("connected");
    old?.close(REPLACED);
  }

  /** Of two connections only the one that is shown speaks to the page. */
  #listener(connection) {
    const shown = (tell) => (value) => (this.#current ?? this.#next) === connection() && tell(value);
    // It ends because its stream is declared otherwise.
    let changed = false;
    return {
      inputs: this.#on.inputs,
      known: this.#on.known,
      message: this.#on.message,
      declared: shown(this.#on.declared),
      changed: () => (changed = true),
      outputs: shown(this.#on.outputs),
      stats: shown(this.#on.stats),
      phase: shown(this.#on.phase),
      leave: shown(() => this.#replace()),
      lost: () => connection() === this.#current && this.#lost(),
      ended: (text) => {
        const outcome = new Outcome(text || "The stream has ended", "Press Start to begin again.");
        // Of one that is not shown yet it is a try that has failed.
        if (changed && !this.#current) this.finish("changed", outcome);
        else if (connection() === this.#current) this.finish(changed ? "changed" : "ended", outcome);
        else connection().close(outcome);
      },
    };
  }

  #lost() {
    this.#current = null;
    this.#lostAt = performance.now();
    this.#on.lost();
    this.#replace();
  }

  /** Tries until another connection is shown, as long as the old one serves and for `REGAIN_MS` after that. */
  async #replace() {
    if (this.#replacing) return;
    this.#replacing = true;
    if (performance.now() - this.#since >= GOOD_AFTER_MS) this.#tries = 0;
    try {
      let replaced = false;
      while (!replaced || !this.#current) {
        const pause = PAUSES_MS[Math.min(this.#tries, PAUSES_MS.length - 1)];
        this.#tries += 1;
        await this.#pause(Math.random() * (this.#current ? pause + SPREAD_MS : pause));
        replaced = await this.#try();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#replacing = false;
  }

  /** Whether it has worked; throws when there is no point in another try. */
  async #try() {
    try {
      await this.#connect(AGAIN);
      return true;
    } catch (error) {
      this.#over.signal.throwIfAborted();
      if (!(error instanceof Outcome) || error.stale) throw error;
      if (!this.#current && performance.now() - this.#lostAt > REGAIN_MS) throw notRegained(error);
      return false;
    }
  }

  /** Throws when the session ends meanwhile. */
  async #pause(milliseconds) {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.#over.signal.throwIfAborted();
  }
}
