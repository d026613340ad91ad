import { newId } from "../api";
import type { ChatEvent } from "../types";
import { Hub, type FromHub, type Link, type Port, type ToHub } from "./hub";

export interface Listener {
  onEvent: (event: ChatEvent) => void;
  onLink: (link: Link) => void;
}

interface Wire {
  onmessage: ((message: MessageEvent<FromHub>) => void) | null;
  postMessage: (order: ToHub) => void;
}

let wire: Wire | null = null;
let current: { id: string; listener: Listener } | null = null;

/** Listen to a conversation instead of the one before. Returns how to leave it. */
export function watch(id: string, listener: Listener): () => void {
  const watched = (current = { id, listener });
  order({ do: "watch", id });
  return () => {
    if (current !== watched) return;
    current = null;
    order({ do: "leave" });
  };
}

export const resync = (): void => order({ do: "resync" });

/** Look whether the stream still lives; a `stale` one is opened anew whatever it seems to be. */
export const wake = (stale: boolean): void => order({ do: "wake", stale });

/** Wake the stream whenever the browser comes back from sleep or finds a network. */
export function wakeWithTheBrowser(): void {
  window.addEventListener("online", () => wake(true));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wake(false);
  });
  window.addEventListener("pagehide", () => order({ do: "leave" }));
  // From the back-forward cache the page comes back as it was, but the hub has forgotten it.
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted && current) order({ do: "watch", id: current.id });
  });
}

function order(what: ToHub): void {
  wire ??= shared() ?? own();
  wire.onmessage = ({ data }) => {
    if (data.id !== current?.id) return;
    if ("event" in data) current.listener.onEvent(data.event);
    else current.listener.onLink(data.link);
  };
  wire.postMessage(what);
}

function shared(): Wire | null {
  if (typeof SharedWorker === "undefined") return null;
  try {
    const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "parley" });
    worker.onerror = fallBack;
    holdLock(worker.port);
    return worker.port;
  } catch {
    return null;
  }
}

/** A lock that this tab holds as long as it lives; the hub waits for it. Plain http has no locks. */
function holdLock(port: Wire): void {
  if (!("locks" in navigator)) return;
  const lock = `parley.tab.${newId()}`;
  void navigator.locks.request(lock, () => {
    port.postMessage({ do: "outlive", lock });
    return new Promise<never>(() => undefined);
  });
}

/** A hub in this page; two ends that hand messages to each other. */
function own(): Wire {
  const far: Port = { onmessage: null, postMessage: (message) => here.onmessage?.({ data: message } as MessageEvent<FromHub>) };
  const here: Wire = { onmessage: null, postMessage: (data) => far.onmessage?.({ data } as MessageEvent<ToHub>) };
  new Hub().connect(far);
  return here;
}

function fallBack(): void {
  wire = own();
  if (current) order({ do: "watch", id: current.id });
}
