// Requests to the API that this page came from. Every request has a timeout: a filter that hangs
// must not look like one that has nothing new.

export const PATIENCE_MS = 5000;

const LONG_MS = 60000; // an impact of a large truth; an audit query over a long time

export class ApiError extends Error {
  // status 0: no answer at all
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function decode(response) {
  const body = await response.json();
  if (!response.ok) {
    const place = body.pointer ? ` (at ${body.pointer})` : "";
    throw new ApiError(response.status, `${body.detail || response.statusText}${place}`);
  }
  return body;
}

async function request(path, options, patience) {
  try {
    // The timeout covers the body as well: a process can stop between the two.
    return await decode(await fetch(path, { ...options, signal: AbortSignal.timeout(patience) }));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const isLate = error.name === "TimeoutError";
    throw new ApiError(0, isLate ? `No answer within ${patience / 1000} s.` : "The filter cannot be reached.");
  }
}

export function get(path, query = {}, patience = PATIENCE_MS) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return request(`/api/v1/${path}${given.size ? `?${given}` : ""}`, {}, patience);
}

export function getSlowly(path, query) {
  return get(path, query, LONG_MS);
}

export function post(path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  return request(`/api/v1/${path}`, { method: "POST", body, headers }, LONG_MS);
}

let lists = null;

// Names to choose from, by parameter of /api/v1/audit: event, reason, verdict.
export function choices() {
  lists ??= get("openapi.json").then((document) => {
    const parameters = document.paths["/api/v1/audit"].get.parameters;
    return Object.fromEntries(parameters.map((each) => [each.name, namesIn(each.schema)]));
  }).catch((error) => {
    lists = null;
    throw error;
  });
  return lists;
}

function namesIn(schema) {
  return schema.enum ?? schema.anyOf?.flatMap(namesIn) ?? [];
}
