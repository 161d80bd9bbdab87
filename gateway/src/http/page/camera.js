// Which camera at which size, and how it is opened.

import { CAMERA_BUSY, INSECURE, NO_CAMERA, PERMISSION_DENIED } from "./outcome.js";

const REMEMBERED_CAMERA = "reframe.camera";
const REMEMBERED_RESOLUTION = "reframe.resolution";

/** The two menus. `changed` is called when the person has chosen otherwise. */
export class CameraMenu {
  #camera;
  #resolution;

  constructor(camera, resolution, changed) {
    this.#camera = camera;
    this.#resolution = resolution;
    const size = recall(REMEMBERED_RESOLUTION);
    if ([...resolution.options].some((option) => option.value === size)) resolution.value = size;
    camera.addEventListener("change", () => {
      remember(REMEMBERED_CAMERA, camera.value);
      changed();
    });
    resolution.addEventListener("change", () => {
      remember(REMEMBERED_RESOLUTION, resolution.value);
      changed();
    });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.list());
  }

  get choice() {
    const [width, height] = this.#resolution.value.split("x").map(Number);
    return { deviceId: this.#camera.value || recall(REMEMBERED_CAMERA), width, height };
  }

  set disabled(disabled) {
    this.#camera.disabled = this.#resolution.disabled = disabled;
  }

  /**
   * Shows the cameras there are. Names and ids are empty until the person has allowed the camera once; until then, and
   * where a browser refuses even to count them, the list stays as it is.
   */
  async list(selected = this.choice.deviceId) {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const cameras = devices.filter((device) => device.kind === "videoinput" && device.deviceId);
    if (cameras.length === 0) return;
    const options = cameras.map(({ label, deviceId }, i) => new Option(label || `Camera ${i + 1}`, deviceId));
    this.#camera.replaceChildren(...options);
    if (cameras.some((device) => device.deviceId === selected)) this.#camera.value = selected;
  }
}

/** Throws an `Outcome` that tells the refusals apart, for each has its own remedy. */
export async function openCamera({ deviceId, width, height }) {
  if (!navigator.mediaDevices) throw INSECURE;
  try {
    return await navigator.mediaDevices.getUserMedia({
      // Wishes, not demands: a camera that has been unplugged or cannot do 720p must not end in an error.
      video: {
        deviceId: deviceId ? { ideal: deviceId } : undefined,
        width: { ideal: width },
        height: { ideal: height },
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

/** Storage throws where the person has forbidden it; then nothing is remembered, and nothing else changes. */
function recall(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}
