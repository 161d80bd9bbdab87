// One connection to one gateway, from its offer to its end.

import { Diagnosis } from "./diagnosis.js";
import { restricted, usable } from "./network.js";
import { LOST, Refusal, phaseOf } from "./outcome.js";
import { Signalling } from "./signalling.js";
import { returnsVideo, sendsCamera } from "./spec.js";

/** Between two looks at what has come. The server says something every second, in every mode, and mostly much more. */
const LOOK_MS = 500;
/**
 * After so many looks in a row at which nothing had come the server is gone. Looks are counted, not time: a page that
 * was held up, in the background or asleep, has not listened meanwhile.
 */
const SILENT_LOOKS = 5;
/**
 * After so many, another path to it is tried, once: it may be our network that has changed, and the server keeps the
 * session.
 */
const RESTART_LOOKS = 2;
/** For the server to answer then; longer, and the silence has decided. */
const RESTART_MS = 3_000;
/** The server answers our own greeting with this; it is not news for anyone. */
const HANDSHAKE_REPLY = "Server received: handshake";

/**
 * `on` is told, until it is closed: `message(level, text)`, `outputs(values)`, `stats(data)`; `phase(name)` with
 * waiting, busy, away, connecting, replacing or connected; `declared(stream)`, when the stream is declared otherwise now,
 * a digest if that has to be asked for; `leave()`, when the server wants to be left for another one; `changed()`, before it
 * ends because its stream cannot go on as declared now; `ended(text)`; and `lost()`, just before it closes by itself,
 * while its last picture is still there. It is asked for `inputs()`, all that the person has set, and `known()`, the
 * declaration that the page was made from.
 */
export class Connection {
  /** The video that comes back. */
  video = null;
  /** How its stream is declared, once the server has said so; as for `declared()`. */
  declared;
  #on;
  #over = new AbortController();
  #closed = Promise.withResolvers();
  #connected = Promise.withResolvers();
  /** The server has a place for us, or has not: only on the connection does it say for certain. */
  #admitted = Promise.withResolvers();
  #signalling;
  #peer;
  #channel;
  #diagnosis;
  #sender = null;
  /** As the server wants it. */
  #maxFps = null;
  #wasConnected = false;
  #received = 0;
  #silentLooks = 0;
  /** Another path was tried in this silence. */
  #restarted = false;
  #restarting = false;
  #interrupt = null;
  /** The inputs as they were offered. */
  #offered = "";

  /**
   * `camera` is a stream that stays its owner's; null where the mode needs none. `configuration` is the
   * `RTCPeerConnection`'s. `token` is that of the connection whose place this one takes, if there is one.
   */
  constructor(mode, camera, configuration, token, on) {
    this.#on = on;
    this.#signalling = new Signalling(this.#over.signal, token);
    this.#peer = new RTCPeerConnection(configuration);
    this.#channel = this.#peer.createDataChannel("text");
    this.#diagnosis = new Diagnosis(this.#peer, this.#over.signal);
    if (sendsCamera(mode)) {
      const direction = returnsVideo(mode) ? "sendrecv" : "sendonly";
      this.#sender = this.#peer.addTransceiver(camera.getVideoTracks()[0], { direction, streams: [camera] }).sender;
    } else {
      this.#peer.addTransceiver("video", { direction: "recvonly" });
    }
    this.#listen(this.#channel, "open", () => this.#opened());
    this.#listen(this.#channel, "message", (event) => this.#receive(event.data));
    this.#listen(this.#channel, "close", () => this.#lose(LOST));
    this.#listen(this.#peer, "connectionstatechange", () => this.#stateChanged());
    this.#listen(this.#peer, "icegatheringstatechange", () => {
      if (this.#diagnosis.hopeless) this.#lose(this.#diagnosis.outcome());
    });
    this.#listen(this.#peer, "track", ({ track, streams: [stream] }) => {
      this.video = stream ?? new MediaStream([track]);
    });
    this.#listen(this.#peer, "icecandidate", ({ candidate }) => {
      if (candidate && usable(candidate.candidate)) this.#signalling.trickle(candidate);
    });
  }

  /** The server's token of this session, for the one that takes its place. */
  get token() {
    return this.#signalling.token;
  }

  /** Resolves when it is closed, to the reason. */
  get closed() {
    return this.#closed.promise;
  }

  /**
   * Resolves when it stands and the server has a place for it; throws why not, and is closed then. The answer may take `answerMs`, the way to the
   * server `connectMs` after that; with `queue` a stream that has no worker is waited for.
   */
  async open(patience) {
    const failure = await Promise.race([this.#establish(patience), this.closed]);
    if (failure) throw failure;
  }

  /** Before the channel is open there is nothing to send: it opens with all that was set by then. */
  setInputs(values) {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify({ type: "set_input", data: values }));
  }

  /** Also returns when it is closed meanwhile: then no track is needed. */
  async replaceTrack(track) {
    await Promise.race([this.#sender.replaceTrack(track), this.closed]);
  }

  /** What a busy server would leave out need not be sent; null: as much as we like. Told each second, so a refusal is retried. */
  async #sendAtMost(fps) {
    if (!this.#sender || fps === this.#maxFps) return;
    try {
      const parameters = this.#sender.getParameters();
      for (const encoding of parameters.encodings) {
        if (fps === null) delete encoding.maxFramerate;
        else encoding.maxFramerate = fps;
      }
      await this.#sender.setParameters(parameters);
      this.#maxFps = fps;
    } catch {
      // It goes on as it is: more work for the server.
    }
  }

  report() {
    return this.#peer.getStats();
  }

  /** Later calls do nothing: the first reason is the true one. */
  close(reason) {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    // The data channel first: its end is what tells the server at once. A closed connection alone is seen only by
    // the server's ICE timeout.
    this.#channel.close();
    this.#peer.close();
    this.#closed.resolve(reason);
  }

  async #establish({ answerMs, connectMs, queue }) {
    try {
      await this.#peer.setLocalDescription();
      const waiting = queue && ((error) => this.#on.phase(phaseOf(error)));
      const answer = await this.#signalling.answer(() => this.#offer(), answerMs, waiting);
      if (queue) this.#on.phase("connecting");
      const deadline = setTimeout(() => this.#lose(this.#diagnosis.outcome()), connectMs);
      this.closed.then(() => clearTimeout(deadline));
      await this.#peer.setRemoteDescription({ ...answer, sdp: restricted(answer.sdp) });
      await this.#connected.promise;
      await this.#admitted.promise;
      clearTimeout(deadline);
    } catch (error) {
      this.close(error);
      throw error;
    }
    this.#listen(window, "online", () => this.#online());
    const looks = setInterval(() => this.#look().catch(() => {}), LOOK_MS);
    this.closed.then(() => clearInterval(looks));
  }

  #offer() {
    const inputs = this.#on.inputs();
    this.#offered = JSON.stringify(inputs);
    return { sdp: restricted(this.#peer.localDescription.sdp), inputs, declaration: this.#on.known() };
  }

  #opened() {
    this.#channel.send("handshake");
    const inputs = this.#on.inputs();
    if (JSON.stringify(inputs) !== this.#offered) this.setInputs(inputs);
  }

  #stateChanged() {
    switch (this.#peer.connectionState) {
      case "connected":
        this.#wasConnected = true;
        this.#connected.resolve();
        break;
      case "failed":
        this.#lose(this.#wasConnected ? LOST : this.#diagnosis.outcome());
        break;
    }
  }

  /** At what came over the network, not at messages alone: on a bad way one can be late while pictures come. */
  async #look() {
    const pairs = [...(await this.#peer.getStats()).values()].filter(({ type }) => type === "candidate-pair");
    const received = pairs.reduce((sum, { bytesReceived }) => sum + (bytesReceived ?? 0), 0);
    // Less is no news: a pair that a restart has replaced is gone with its count.
    if (received > this.#received) this.#heard();
    this.#received = received;
    this.#silentLooks += 1;
    if (this.#silentLooks > SILENT_LOOKS) this.#lose(LOST);
    else if (this.#silentLooks > RESTART_LOOKS) await this.#restart();
  }

  #heard() {
    this.#silentLooks = 0;
    this.#restarted = false;
  }

  /** The silence so far was our own network's; now the server has all the time to answer, on a path through the new one. */
  #online() {
    this.#heard();
    // One that is under way went into the old one.
    if (this.#restarting) this.#interrupt.abort();
    else this.#restart().catch(() => {});
  }

  /**
   * Looks for a new way to the same session (an ICE restart): once in a silence, as each ends what the one before has
   * found. When there is none, the silence goes on and decides.
   */
  async #restart() {
    if (this.#restarting || this.#restarted) return;
    this.#restarted = true;
    this.#restarting = true;
    this.#interrupt = new AbortController();
    const { signal } = this.#interrupt;
    try {
      this.#peer.restartIce();
      await this.#peer.setLocalDescription();
      const offer = () => ({ sdp: restricted(this.#peer.localDescription.sdp), renegotiate: true });
      const answer = await this.#signalling.answer(offer, RESTART_MS, undefined, signal);
      await this.#peer.setRemoteDescription({ ...answer, sdp: restricted(answer.sdp) });
      // It is there. What was silent is the old path; the new one has its own time.
      this.#silentLooks = 0;
    } catch {
      // It found nothing: the next look tries again.
      this.#restarted = false;
      if (this.#peer.signalingState === "have-local-offer") await this.#peer.setLocalDescription({ type: "rollback" });
    } finally {
      this.#restarting = false;
    }
    if (signal.aborted) await this.#restart();
  }

  #receive(json) {
    // For browsers that do not count what came.
    this.#heard();
    let message;
    try {
      message = JSON.parse(json);
    } catch {
      return;
    }
    const { type, data } = message;
    switch (type) {
      case "outputs":
        this.#on.outputs(data);
        break;
      case "declaration":
        // More than a message holds: its digest. A server of another version may tell none.
        this.declared = data ?? message.declaration ?? "";
        this.#on.declared(this.declared);
        break;
      case "stats":
        this.#admitted.resolve();
        this.#on.stats(data);
        this.#sendAtMost(data.max_fps ?? null);
        break;
      case "error":
        // Somebody else was sooner: as if the offer had been refused.
        if (message.meta) {
          this.close(new Refusal(message.meta));
          break;
        }
      // falls through
      case "warning":
      case "log": {
        const text = asText(message.message ?? data);
        if (text !== HANDSHAKE_REPLY) this.#on.message(type, text);
        break;
      }
      case "update_connection":
        // The server keeps the session and looks for another worker for it, or wants it to go on elsewhere. "closed"
        // and "changed" are followed by `end_stream`, which has the reason.
        if (data === "reconnecting") this.#on.phase("replacing");
        if (data === "connected") this.#on.phase("connected");
        if (data === "reconnect") this.#on.leave();
        if (data === "changed") this.#on.changed();
        break;
      case "end_stream":
        this.#on.ended(asText(data));
        break;
    }
  }

  #lose(reason) {
    if (this.#over.signal.aborted) return;
    this.#on.lost();
    this.close(reason);
  }

  /** Listeners end with the connection, so that no late event can touch the next one. */
  #listen(target, type, listener) {
    target.addEventListener(type, listener, { signal: this.#over.signal });
  }
}

const asText = (value = "") => (typeof value === "string" ? value : JSON.stringify(value));
