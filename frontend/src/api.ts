/** A request that failed: with the server's problem document, or with status 0 when nobody answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly fields: Record<string, string[]> = {},
  ) {
    super(detail);
  }

  /** The same request may succeed in a moment. */
  get passing(): boolean {
    return this.status === 0 || (this.status >= 502 && this.status <= 504);
  }
}

/** What happens when the server no longer knows who asks; the session sets it. */
export const onSignedOut = { call: (): void => undefined };

const PATIENCE_MS = 15_000;

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** Ask the server. Throws a Problem. `keepalive` lets the request outlive the page. */
export async function api<T = void>(method: Method, path: string, body?: object, keepalive = false): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      keepalive,
      // On a line that is cut somewhere nobody would ever answer.
      signal: AbortSignal.timeout(PATIENCE_MS),
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
      body: body ? JSON.stringify(body) : null,
    });
  } catch {
    throw new Problem(0, "unreachable", "The server does not answer.");
  }
  if (!response.ok) throw await problem(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

async function problem(response: Response): Promise<Problem> {
  const told = (await response.json().catch(() => ({}))) as Partial<Problem> & { detail?: string };
  const code = told.code ?? `http_${response.status}`;
  if (code === "login_required") onSignedOut.call();
  return new Problem(response.status, code, told.detail ?? response.statusText, told.fields);
}

export const asProblem = (error: unknown): Problem =>
  error instanceof Problem ? error : new Problem(0, "internal", String(error));

/** A random UUID. crypto.randomUUID is missing on plain http. */
export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
