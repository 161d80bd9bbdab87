// One Start-to-Stop of a stream: camera, signalling, connection.

import { openCamera } from "./camera.js";
import { CAMERA_LOST, CLOSED_BY_SERVER, LOST, NO_MEDIA, Outcome } from "./outcome.js";
import { Signalling } from "./signalling.js";
import { returnsVideo, sendsCamera } from "./spec.js";

/** From the answer to connected. Chromium by itself gives up on ICE only after 15-30 s, or never. */
const CONNECT_TIMEOUT_MS = 20_000;
/** An interrupted connection that has not come back by then is lost. A walk between access points takes less. */
const LOST_AFTER_MS = 10_000;
/** The server answers our own greeting with this; it is not news for anyone. */
const HANDSHAKE_REPLY = "Server received: handshake";

/**
 * Knows nothing of the page. `on` is told: `camera(stream)`, `video(stream)`, `message(level, text)`,
 * `outputs(values)`, `stats(data)`, `phase(name)` with asking, connecting, waiting, connected or interrupted; and
 * `over(state, outcome)`, exactly once and last. It is asked: `choice()` of the camera, and `inputs()`, all that the
 * person has set.
 */
export class Session {
  #on;
  #over = new AbortController();
  #signalling = new Signalling(this.#over.signal);
  #camera = null;
  #sender = null;
  #channel = null;
  #connection = null;
  #deadline = 0;
  /** The inputs as they were offered. */
  #offered = "";

  constructor(on) {
    this.#on = on;
  }

  /** `described` promises the stream's declaration. */
  async start(described) {
    try {
      const { mode } = await described;
      this.#over.signal.throwIfAborted();
      const connection = (this.#connection = new RTCPeerConnection());
      if (sendsCamera(mode)) {
        this.#on.phase("asking");
        const track = await this.#open(this.#on.choice());
        const direction = returnsVideo(mode) ? "sendrecv" : "sendonly";
        this.#sender = connection.addTransceiver(track, { direction, streams: [this.#camera] }).sender;
      } else {
        connection.addTransceiver("video", { direction: "recvonly" });
      }
      this.#on.phase("connecting");
      await this.#connect(connection);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Changes camera or size of a live session; the connection stays. */
  async switchCamera(choice) {
    try {
      await this.#sender.replaceTrack(await this.#open(choice));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Before the channel is open there is nothing to send: it opens with all that was set by then. */
  setInputs(values) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify({ type: "set_input", data: values }));
  }

  report() {
    return this.#connection.getStats();
  }

  /** Ends the session and gives back everything. Later calls do nothing: the first outcome is the true one. */
  finish(state, outcome) {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    clearTimeout(this.#deadline);
    // The data channel first: its end is what tells the server at once. A closed connection alone is seen only by
    // the server's ICE timeout.
    this.#channel?.close();
    this.#connection?.close();
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
    this.finish("failed", error);
  }

  async #open(choice) {
    // Before the next one: many phones cannot have two cameras open.
    this.#camera?.getTracks().forEach((track) => track.stop());
    const camera = await openCamera(choice);
    if (this.#over.signal.aborted) camera.getTracks().forEach((track) => track.stop());
    this.#over.signal.throwIfAborted();
    this.#camera = camera;
    const [track] = camera.getVideoTracks();
    this.#listen(track, "ended", () => this.#fail(CAMERA_LOST));
    this.#on.camera(camera);
    return track;
  }

  async #connect(connection) {
    const channel = (this.#channel = connection.createDataChannel("text"));
    this.#listen(channel, "open", () => this.#opened());
    this.#listen(channel, "message", (event) => this.#receive(event.data));
    this.#listen(channel, "close", () => this.finish("ended", CLOSED_BY_SERVER));
    this.#listen(connection, "connectionstatechange", () => this.#connectionChanged());
    this.#listen(connection, "track", (event) => this.#on.video(event.streams[0] ?? new MediaStream([event.track])));
    this.#listen(connection, "icecandidate", ({ candidate }) => this.#signalling.trickle(candidate));

    await connection.setLocalDescription();
    const answer = await this.#signalling.answer(() => this.#offer(), () => this.#on.phase("waiting"));
    this.#on.phase("connecting");
    this.#within(CONNECT_TIMEOUT_MS, NO_MEDIA);
    await connection.setRemoteDescription(answer);
  }

  #offer() {
    const inputs = this.#on.inputs();
    this.#offered = JSON.stringify(inputs);
    return { sdp: this.#connection.localDescription.sdp, inputs };
  }

  #opened() {
    this.#channel.send("handshake");
    const inputs = this.#on.inputs();
    if (JSON.stringify(inputs) !== this.#offered) this.setInputs(inputs);
  }

  #connectionChanged() {
    switch (this.#connection.connectionState) {
      case "connected":
        clearTimeout(this.#deadline);
        this.#on.phase("connected");
        break;
      case "disconnected":
        this.#on.phase("interrupted");
        this.#within(LOST_AFTER_MS, LOST);
        break;
      case "failed":
        this.#fail(this.#channel.readyState === "connecting" ? NO_MEDIA : LOST);
        break;
    }
  }

  #receive(json) {
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
      case "stats":
        this.#on.stats(data);
        break;
      case "error":
      case "warning":
      case "log": {
        const text = asText(message.message ?? data);
        if (text !== HANDSHAKE_REPLY) this.#on.message(type, text);
        break;
      }
      case "end_stream":
        this.finish("ended", new Outcome(asText(data) || "The stream has ended", "Press Start to begin again."));
        break;
    }
  }

  #within(milliseconds, outcome) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#fail(outcome), milliseconds);
  }

  /** Listeners end with the session, so that no late event can touch the next one. */
  #listen(target, type, listener) {
    target.addEventListener(type, listener, { signal: this.#over.signal });
  }
}

const asText = (value = "") => (typeof value === "string" ? value : JSON.stringify(value));
