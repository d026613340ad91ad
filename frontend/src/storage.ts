// What the browser keeps between visits. Everything works without storage, only shorter.

const PREFIX = "parley.";

export function load<T extends object | string | boolean>(name: string, otherwise: T, from: () => Storage = () => localStorage): T {
  try {
    const text = from().getItem(PREFIX + name);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

/** Keep a value; null, "" and an empty list remove it. */
export function save(name: string, value: unknown, to: () => Storage = () => localStorage): void {
  const empty = value === null || value === "" || (Array.isArray(value) && !value.length);
  try {
    if (empty) to().removeItem(PREFIX + name);
    else to().setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Full or forbidden: the value lives as long as the page.
  }
}

/** Forget what one account wrote, before another person uses this browser. */
export function forgetDrafts(): void {
  try {
    for (const name of Object.keys(localStorage).filter((name) => name.startsWith(`${PREFIX}draft.`)))
      localStorage.removeItem(name);
    for (const name of Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX)))
      sessionStorage.removeItem(name);
  } catch {
    // Nothing was kept then.
  }
}

/** A channel to the other tabs of this browser: what is heard from them, and how to tell them. */
export function channel(name: string, onNews: () => void): { tell: () => void; close: () => void } {
  const wire = new BroadcastChannel(PREFIX + name);
  wire.onmessage = onNews;
  return { tell: () => wire.postMessage(null), close: () => wire.close() };
}

export const session = (): Storage => sessionStorage;
