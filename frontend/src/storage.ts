// What the browser keeps between visits. Everything works without storage, only shorter.

const PREFIX = "parley.";
// What the browser would not keep, because its storage is full or forbidden, lives as long as the page.
const unkept = new Map<string, string>();

export function load<T extends object | string | boolean>(name: string, otherwise: T): T {
  try {
    const text = unkept.get(name) ?? localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

/** Keep a value; null, "" and an empty list remove it. */
export function save(name: string, value: unknown): void {
  const empty = value === null || value === "" || (Array.isArray(value) && !value.length);
  unkept.delete(name);
  try {
    if (empty) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    if (!empty) unkept.set(name, JSON.stringify(value));
  }
}

/** The names that begin so and under which something is kept. */
export function names(beginning: string): string[] {
  let kept: string[] = [];
  try {
    kept = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length));
  } catch {
    // Forbidden.
  }
  return [...new Set([...kept, ...unkept.keys()])].filter((name) => name.startsWith(beginning));
}

/** Forget what one account wrote, before another person uses this browser. What a guest had is the account's by then. */
export function forgetDrafts(): void {
  for (const name of ["guest.", "draft.", "outbox."].flatMap(names)) save(name, null);
}

/** A channel to the other tabs of this browser: what is heard from them, and how to tell them. */
export function channel(name: string, onNews: (news: string) => void): { tell: (news?: string) => void; close: () => void } {
  const wire = new BroadcastChannel(PREFIX + name);
  wire.onmessage = ({ data }) => onNews(data as string);
  return { tell: (news = "") => wire.postMessage(news), close: () => wire.close() };
}
