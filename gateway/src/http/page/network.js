// Which ways a connection may take: the server's STUN and TURN servers, and what the page's address asks for.

import { request } from "./request.js";

/**
 * `?ice=relay` allows only ways through a TURN server, `?ice=tcp` only TCP to the server: to try whether those work,
 * on a network where the direct way does too.
 */
const ONLY = new URLSearchParams(location.search).get("ice");
/** Without an answer it is tried without: most networks need none. */
const TIMEOUT_MS = 3_000;

/**
 * What an `RTCPeerConnection` takes. Fetched anew for each: credentials expire. `token`: of the session whose place the
 * next one takes, if there is one.
 */
export async function configuration(over, token) {
  let servers = [];
  try {
    const signal = AbortSignal.any([over, AbortSignal.timeout(TIMEOUT_MS)]);
    const response = await request(`webrtc/ice_servers${token ? `?session_token=${token}` : ""}`, { signal });
    if (response.ok) servers = (await response.json()).iceServers;
  } catch {
    // An older server, or one that is gone: the offer will tell.
  }
  return { iceServers: servers, iceTransportPolicy: ONLY === "relay" ? "relay" : "all" };
}

/** Whether a candidate's line may be used. */
export function usable(line) {
  return ONLY !== "tcp" || / tcp /i.test(line);
}

/** A description without the candidates that may not be used. */
export function restricted(sdp) {
  return sdp.split("\r\n").filter((line) => !line.startsWith("a=candidate:") || usable(line)).join("\r\n");
}
