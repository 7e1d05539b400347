// Asks the API that this page came from.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answer(response) {
  const said = await response.json().catch(() => ({}));
  if (!response.ok) {
    const place = said.pointer ? ` (at ${said.pointer})` : "";
    throw new ApiError(response.status, `${said.detail || response.statusText}${place}`);
  }
  return said;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(0, "The filter does not answer. Is it running?");
  }
  return answer(response);
}

export function get(path, query = {}) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return ask(`/api/v1/${path}${given.size ? `?${given}` : ""}`);
}

export function post(path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  return ask(`/api/v1/${path}`, { method: "POST", body, headers });
}

// Calls back for each event, and with null whenever the connection comes or goes.
export function listen(callback) {
  const source = new EventSource("/api/v1/events");
  for (const kind of ["verdict", "session", "data", "guard", "drain", "service"]) {
    source.addEventListener(kind, (event) => callback(kind, JSON.parse(event.data)));
  }
  source.onopen = () => callback(null, true);
  source.onerror = () => callback(null, false);
}
