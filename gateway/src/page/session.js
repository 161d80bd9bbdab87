// One Start-to-Stop of a stream: camera, signalling, connection.

import {
  CAMERA_BUSY, CAMERA_LOST, CLOSED_BY_SERVER, INSECURE, LOST, NO_CAMERA, NO_MEDIA, PERMISSION_DENIED, UNREACHABLE,
  Outcome, failed, refused,
} from "./outcome.js";

/** From the offer to the server's answer. It has only to look for a free place: one that takes this long is stuck. */
const ANSWER_TIMEOUT_MS = 20_000;
/** From the answer to connected. Chromium by itself gives up on ICE only after 15-30 s, or never. */
const CONNECT_TIMEOUT_MS = 20_000;
/** An interrupted connection that has not come back by then is lost. A walk between access points takes less. */
const LOST_AFTER_MS = 10_000;
/** The server answers our own greeting with this; it is not news for anyone. */
const HANDSHAKE_REPLY = "Server received: handshake";

/**
 * Knows nothing of the page. `on` is told: `camera(stream)`, `video(stream)`, `message(level, text)`, `phase(name)` with
 * asking, connecting, connected or interrupted; and `over(state, outcome)`, exactly once and last.
 */
export class Session {
  #on;
  // Not randomUUID(), which pages over plain http lack: they shall come as far as the text about the camera.
  #id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  #over = new AbortController();
  #camera = null;
  #sender = null;
  #channel = null;
  #connection = null;
  #deadline = 0;

  constructor(on) {
    this.#on = on;
  }

  async start(deviceId) {
    try {
      this.#on.phase("asking");
      const track = await this.#open(deviceId);
      this.#on.phase("connecting");
      await this.#connect(track);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Changes the camera of a live session; the connection stays. */
  async switchCamera(deviceId) {
    try {
      await this.#sender.replaceTrack(await this.#open(deviceId));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Frames per second, width and height of what comes back, and the round trip in ms; undefined where not known yet. */
  async stats() {
    const report = await this.#connection.getStats();
    let video, transport;
    for (const entry of report.values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") video = entry;
      if (entry.type === "transport") transport = entry;
    }
    const pair = report.get(transport?.selectedCandidatePairId);
    const roundTrip = pair?.currentRoundTripTime;
    return {
      fps: video?.framesPerSecond,
      width: video?.frameWidth,
      height: video?.frameHeight,
      roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
    };
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

  async #open(deviceId) {
    // Before the next one: many phones cannot have two cameras open.
    this.#camera?.getTracks().forEach((track) => track.stop());
    const camera = await openCamera(deviceId);
    if (this.#over.signal.aborted) camera.getTracks().forEach((track) => track.stop());
    this.#over.signal.throwIfAborted();
    this.#camera = camera;
    const [track] = camera.getVideoTracks();
    this.#listen(track, "ended", () => this.#fail(CAMERA_LOST));
    this.#on.camera(camera);
    return track;
  }

  async #connect(track) {
    const connection = (this.#connection = new RTCPeerConnection());
    this.#sender = connection.addTrack(track, this.#camera);
    this.#channel = connection.createDataChannel("text");
    this.#listen(this.#channel, "open", () => this.#channel.send("handshake"));
    this.#listen(this.#channel, "message", (event) => this.#receive(event.data));
    this.#listen(this.#channel, "close", () => this.finish("ended", CLOSED_BY_SERVER));
    this.#listen(connection, "connectionstatechange", () => this.#connectionChanged());
    this.#listen(connection, "track", (event) => this.#on.video(event.streams[0] ?? new MediaStream([event.track])));
    this.#listen(connection, "icecandidate", ({ candidate }) => this.#trickle(candidate));

    this.#within(ANSWER_TIMEOUT_MS, UNREACHABLE);
    await connection.setLocalDescription();
    const answer = await this.#offer(connection.localDescription.sdp);
    this.#within(CONNECT_TIMEOUT_MS, NO_MEDIA);
    await connection.setRemoteDescription(answer);
  }

  /** Resolves to the server's answer. */
  async #offer(sdp) {
    let response, text;
    try {
      response = await this.#post({ sdp, type: "offer", webrtc_id: this.#id });
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
    if (!response.ok) throw refused(response.status, answer.meta?.message ?? text);
    if (answer.status === "failed") throw failed(answer.meta ?? {});
    return answer;
  }

  /** Nobody waits for it or hears of its failure: it is one path fewer, and `NO_MEDIA` speaks when none is left. */
  #trickle(candidate) {
    if (!candidate?.candidate) return;
    this.#post({ type: "ice-candidate", candidate: candidate.toJSON(), webrtc_id: this.#id }).catch(() => {});
  }

  #post(body) {
    return fetch("webrtc/offer", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: this.#over.signal,
    });
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
    let type, text;
    try {
      const message = JSON.parse(json);
      type = message.type;
      text = message.message ?? message.data ?? "";
    } catch {
      return;
    }
    if (typeof text !== "string") text = JSON.stringify(text);
    switch (type) {
      case "error":
      case "warning":
      case "log":
        if (text !== HANDSHAKE_REPLY) this.#on.message(type, text);
        break;
      case "end_stream":
        this.finish("ended", new Outcome(text || "The stream has ended", "Press Start to begin again."));
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

/** Throws an `Outcome` that tells the refusals apart, for each has its own remedy. */
async function openCamera(deviceId) {
  if (!navigator.mediaDevices) throw INSECURE;
  try {
    return await navigator.mediaDevices.getUserMedia({
      // Wishes, not demands: a camera that has been unplugged or cannot do 720p must not end in an error.
      video: {
        deviceId: deviceId ? { ideal: deviceId } : undefined,
        width: { ideal: 1280 },
        height: { ideal: 720 },
        frameRate: { ideal: 30 },
      },
    });
  } catch (error) {
    switch (error.name) {
      case "NotAllowedError":
      case "SecurityError":
        throw PERMISSION_DENIED;
      case "NotFoundError":
      case "OverconstrainedError":
        throw NO_CAMERA;
      case "NotReadableError":
      case "AbortError":
        throw CAMERA_BUSY;
      default:
        throw error;
    }
  }
}
