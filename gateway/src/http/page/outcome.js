// Why a session is over, in words for the person in front of it: what happened, and what to do next.

/** Bodies of refusals may be a proxy's whole HTML page. */
const MAX_REASON_CHARS = 300;

/** Thrown, or handed to the page, as the end of a session. */
export class Outcome extends Error {
  constructor(title, advice) {
    super(title);
    this.advice = advice;
  }
}

/** What a server may say that is over soon. */
const PASSING = ["no_worker", "draining", "overloaded", "busy", "rate_limited", "auth_unavailable"];

/** The server has no place for a connection that stands already. */
export class Refusal extends Outcome {
  /** `meta` is as in the answer to an offer. */
  constructor(meta) {
    const passing = PASSING.includes(meta.error);
    const { message, advice } = passing ? refused(503, meta.message ?? meta.error) : failed(meta);
    super(message, advice);
    this.error = meta.error;
    this.passing = passing;
  }
}

/** What the page shows meanwhile. */
export function phaseOf(error) {
  if (error === "unreachable") return "away";
  return ["overloaded", "busy", "rate_limited"].includes(error) ? "busy" : "waiting";
}

export const isPassing = (error) => PASSING.includes(error);

export const INSECURE = new Outcome(
  "This page may not use the camera",
  "Browsers give the camera only to pages opened over https or from this same computer. On the computer that runs the " +
    `server, open http://localhost${location.port && `:${location.port}`}; from elsewhere, use an https address of it.`,
);
export const PERMISSION_DENIED = new Outcome(
  "The camera is not allowed",
  "Allow it for this page (the camera icon beside the address, or the browser's and the system's privacy settings), " +
    "then press Start.",
);
export const NO_CAMERA = new Outcome("No camera was found", "Connect a camera, or turn it on, then press Start.");
export const CAMERA_BUSY = new Outcome(
  "The camera does not start",
  "Another program may be using it. Close that program, or choose another camera, then press Start.",
);
export const CAMERA_LOST = new Outcome(
  "The camera was disconnected",
  "Connect it again or choose another, then press Start.",
);
export const UNREACHABLE = new Outcome(
  "The server cannot be reached",
  "Check that it is running and that this computer is online, then press Start.",
);
export const LOST = new Outcome(
  "The connection was lost",
  "The network failed or the server stopped. Check that both are there, then press Start.",
);
/** Nobody reads it: why a connection ended whose place another one took. */
export const REPLACED = new Outcome("Another connection took its place", "");

/** `last` is what the last try ended with. */
export function notRegained(last) {
  return new Outcome(
    LOST.message,
    `It did not come back within a minute. The last try said: “${last.message}”. ${LOST.advice}`,
  );
}

/** `relay`: what became of the TURN servers, when that is part of it. */
export function noAnswer(addresses, relay) {
  const where = addresses.length > 0 ? addresses.join(" or ") : location.hostname;
  const advice =
    `The page loads, but nothing answers at ${where}, where the server says that video goes. A firewall, VPN or ` +
    "container may be between: try another network, or have that port opened on the server; behind a NAT it needs " +
    "--public-ip.";
  const beside = relay ? ` ${relay.message}: ${relay.advice}` : "";
  return new Outcome("No video connection could be made", advice + beside);
}

export function noEncryption() {
  return new Outcome(
    "The video connection could not be encrypted",
    "The server answers, but what follows (DTLS) does not get through. Press Start again; if it stays so, something on " +
      "the way drops large packets or inspects them: try another network.",
  );
}

export function noNetwork() {
  return new Outcome(
    "The browser opens no way for video",
    "It found no network interface that it may use. Check that this computer is online, and that no extension or policy " +
      "of the browser turns WebRTC off.",
  );
}

export function relayRefused(url, reason) {
  return new Outcome(
    "The relay refused this page",
    `${url} said: “${reason}”. The server's --turn-secret must be the relay's, and both clocks must be right.`,
  );
}

export function relayUnreachable(url) {
  return new Outcome(
    "The relay cannot be reached",
    `${url || "A TURN server"} does not answer. Check that it runs, that its ports are open, and --ice-servers.`,
  );
}

/** Not shown enough, whatever the server asks for: a token in the address, or a name from a proxy. */
export function notAdmitted(reason) {
  return new Outcome(
    "You are not admitted",
    `The server says: “${reason}”. Open the whole address that you were sent again, or ask for a new one.`,
  );
}

export function refused(status, text) {
  const reason = text.trim().slice(0, MAX_REASON_CHARS);
  if (status === 401 || status === 403) return notAdmitted(reason);
  const advice = status === 429
    ? "End a stream that you no longer need, or wait a moment. Then press Start again."
    : status >= 500
    ? "Wait a moment and press Start again; if it stays so, the server's log has the reason."
    : "Reload the page and try again; if it stays so, the page and the server may be of different versions.";
  return new Outcome(
    `The server refused the stream (HTTP ${status})`,
    reason ? `It says: “${reason}”. ${advice}` : advice,
  );
}

export function failed({ error, limit }) {
  if (error === "concurrency_limit_reached") {
    const most = limit === 1 ? "one stream" : `${limit} streams`;
    return new Outcome(
      "Every place is taken",
      `This server runs ${most} at once. Press Start again when someone has left.`,
    );
  }
  return new Outcome("The server refused the stream", `It says: “${error ?? "no reason"}”. Press Start to try again.`);
}
