// The video from the server, which may come by one stream after another.

export class Screen {
  #video;
  #still;
  #playing;

  /** `video` is replaced for each stream, and `playing(video)` told of the one that is in; `still` is a canvas. */
  constructor(video, still, playing) {
    this.#video = video;
    this.#still = still;
    this.#playing = playing;
  }

  /** Shows `stream` from its first picture on, and what was shown before until then. Resolves when that is so. */
  async play(stream) {
    const next = Object.assign(this.#video.cloneNode(), { muted: true, srcObject: stream });
    next.addEventListener("playing", () => {
      // It may have ended meanwhile.
      if (!stream.active) return;
      this.#video.replaceWith(next);
      this.#video.srcObject = null;
      this.#video = next;
      this.#playing(next);
    }, { once: true });
    // Autoplay alone waits until the video is in view, and this one is not yet.
    await next.play().catch(() => {});
  }

  /** Keeps the last picture: the element of a stream that has ended is black. */
  keep() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    Object.assign(this.#still, { width, height });
    if (width && height) this.#still.getContext("2d").drawImage(this.#video, 0, 0);
  }

  clear() {
    this.#video.srcObject = null;
    this.#still.width = 0;
  }
}
