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

/** Forget what one account wrote, before another person uses this browser. What a guest had is the account's by then. */
export function forgetDrafts(): void {
  save("guest", null);
  forget("draft.", () => localStorage);
  forgetOutbox();
}

/** The part of it that each tab keeps for itself. */
export const forgetOutbox = (): void => forget("", session);

function forget(beginning: string, from: () => Storage): void {
  try {
    for (const name of Object.keys(from()).filter((name) => name.startsWith(PREFIX + beginning))) from().removeItem(name);
  } catch {
    // Nothing was kept then.
  }
}

/** A channel to the other tabs of this browser: what is heard from them, and how to tell them. */
export function channel(name: string, onNews: (news: string) => void): { tell: (news?: string) => void; close: () => void } {
  const wire = new BroadcastChannel(PREFIX + name);
  wire.onmessage = ({ data }) => onNews(data as string);
  return { tell: (news = "") => wire.postMessage(news), close: () => wire.close() };
}

export const session = (): Storage => sessionStorage;
