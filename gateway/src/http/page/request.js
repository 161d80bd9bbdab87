// A request to the server, with the right to make it.

/**
 * An access token comes with the page's address as `?t=`. It is taken out of the address bar, where others would read
 * it, and exchanged for a cookie, which no script reads. A page that another site shows in a frame gets no such cookie;
 * there the token stays in memory, and goes with each request.
 */
let bearer = null;

/**
 * The address of one of the server's paths, relative to the page's. Not of the document as it is: that may carry a
 * name and a password (basic authentication), and `fetch` takes no such address.
 */
export const api = (path) => new URL(path, location.origin + location.pathname);

const admitted = exchange();

export async function request(path, options = {}) {
  await admitted;
  const headers = { ...options.headers };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  return fetch(api(path), { ...options, headers });
}

/** The address of another page of this server, with the token where only this page has it. */
export const linkTo = (path) => (bearer ? `${path}?t=${encodeURIComponent(bearer)}` : path);

async function exchange() {
  const query = new URLSearchParams(location.search);
  const token = query.get("t");
  if (!token) return;
  const headers = { authorization: `Bearer ${token}` };
  try {
    const posted = await fetch(api("api/token"), { method: "POST", headers });
    // Neither taken nor refused, as by a server that starts: the address keeps it for the next try.
    const settled = posted.ok || posted.status === 401 || posted.status === 403;
    if (settled) {
      query.delete("t");
      const rest = query.size > 0 ? `?${query}` : "";
      history.replaceState(history.state, "", location.pathname + rest + location.hash);
    }
    if (posted.ok && (await fetch(api("api/token"))).ok) return;
  } catch {
    // The server is away: each request says so.
  }
  bearer = token;
}
