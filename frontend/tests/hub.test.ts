import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Hub, type FromHub, type Port, type ToHub } from "../src/chat/hub";
import type { ChatEvent } from "../src/types";

/** An EventSource that does as the test says. */
class Source extends EventTarget {
  static CLOSED = 2;
  static all: Source[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  static get open(): Source[] {
    return Source.all.filter(({ readyState }) => readyState !== 2);
  }
  close(): void {
    this.readyState = 2;
  }
  opens(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  says(type: string, data: object, lastEventId = ""): void {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId }));
  }
  /** The browser gives up, as after an answer that is an error. */
  dies(): void {
    this.readyState = 2;
    this.onerror?.();
  }
}

class Tab implements Port {
  onmessage: Port["onmessage"] = null;
  heard: FromHub[] = [];
  constructor(hub: Hub) {
    hub.connect(this);
  }
  postMessage(message: FromHub): void {
    this.heard.push(message);
  }
  asks(data: ToHub): void {
    this.onmessage?.({ data } as MessageEvent<ToHub>);
  }
  get events(): ChatEvent["type"][] {
    return this.heard.flatMap((message) => ("event" in message ? [message.event.type] : []));
  }
  get link(): string | undefined {
    return this.heard.flatMap((message) => ("link" in message ? [message.link] : [])).at(-1);
  }
}

const RESET = { id: "c", title: null, messages: [], total: 0, pending: [], turn: null, position: "e-1" };
const newest = (): Source => Source.all.at(-1) as Source;
let hub: Hub;

beforeEach(() => {
  Source.all = [];
  hub = new Hub();
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const watching = (id = "c"): Tab => {
  const tab = new Tab(hub);
  tab.asks({ do: "watch", id });
  return tab;
};

describe("the hub", () => {
  it("opens one stream for eight tabs, and brings the late ones up to date", () => {
    const first = watching();
    newest().opens();
    newest().says("reset", RESET, "e-1");
    newest().says("accepted", { message: { id: "m", role: "human", text: "Hi", at: "" }, position: 0 }, "e-2");
    const others = Array.from({ length: 7 }, () => watching());
    expect(Source.open).toHaveLength(1);
    newest().says("started", { message_id: "m", reply_id: "r", attempt: 1 }, "e-3");
    expect(first.events).toEqual(["reset", "accepted", "started"]);
    for (const other of others) {
      expect(other.events).toEqual(["reset", "started"]);
      expect(other.heard[0]).toMatchObject({ event: { id: "e-2", data: { pending: [{ id: "m" }] } } });
      expect(other.link).toBe("open");
    }
  });

  it("closes a stream when its last tab has left", () => {
    const [one, two] = [watching(), watching()];
    one.asks({ do: "leave" });
    expect(Source.open).toHaveLength(1);
    two.asks({ do: "watch", id: "d" });
    expect(Source.open.map(({ url }) => url)).toEqual(["/api/conversations/d/events"]);
  });

  it("keeps no more streams than a browser has connections for", () => {
    const tabs = ["a", "b", "c", "d", "e"].map(watching);
    expect(Source.open).toHaveLength(4);
    expect(tabs[0]?.link).toBe("broken");
    tabs[0]?.asks({ do: "wake", stale: false });
    expect(Source.open).toHaveLength(4);
    expect(newest().url).toBe("/api/conversations/a/events");
  });

  it("comes back with its position after an error that the browser does not forgive", async () => {
    vi.stubGlobal("fetch", vi.fn(() => Promise.resolve({ status: 503 })));
    const tab = watching();
    newest().opens();
    newest().says("reset", RESET, "e-7");
    newest().dies();
    expect(tab.link).toBe("broken");
    await vi.advanceTimersByTimeAsync(1000);
    expect(newest().url).toBe("/api/conversations/c/events?after=e-7");
    newest().dies();
    await vi.advanceTimersByTimeAsync(1000);
    expect(Source.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1000);
    expect(Source.all).toHaveLength(3);
  });

  it.each([[404, "missing"], [401, "login"]])("does not ask again after %i", async (status, link) => {
    vi.stubGlobal("fetch", vi.fn(() => Promise.resolve({ status })));
    const tab = watching();
    newest().dies();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tab.link).toBe(link);
    expect(Source.all).toHaveLength(1);
    tab.asks({ do: "wake", stale: true });
    expect(Source.open).toHaveLength(1);
  });

  it("leaves a fresh stream alone when a tab is looked at, and renews a stale one", () => {
    const tab = watching();
    newest().opens();
    tab.asks({ do: "wake", stale: false });
    expect(Source.all).toHaveLength(1);
    vi.advanceTimersByTime(30_000);
    tab.asks({ do: "wake", stale: false });
    expect(Source.all).toHaveLength(2);
    tab.asks({ do: "wake", stale: true });
    expect(Source.all).toHaveLength(3);
    expect(Source.open).toHaveLength(1);
  });

  it("opens a stream anew that is silent for longer than the server ever is", () => {
    const tab = watching();
    newest().opens();
    newest().says("reset", RESET, "e-7");
    for (let pings = 0; pings < 5; pings++) {
      vi.advanceTimersByTime(15_000);
      newest().says("ping", {});
    }
    expect(Source.all).toHaveLength(1);
    vi.advanceTimersByTime(37_500);
    expect(tab.link).toBe("broken");
    expect(Source.open.map(({ url }) => url)).toEqual(["/api/conversations/c/events?after=e-7"]);
    tab.asks({ do: "leave" });
    vi.advanceTimersByTime(60_000);
    expect(Source.open).toEqual([]);
  });

  it("does not wait long for an answer over a connection that may be dead", () => {
    watching();
    vi.advanceTimersByTime(10_000);
    expect(Source.all).toHaveLength(2);
    newest().opens();
    vi.advanceTimersByTime(30_000);
    expect(Source.all).toHaveLength(2);
  });

  it("leaves for a tab that was killed", async () => {
    const granted: (() => void)[] = [];
    vi.stubGlobal("navigator", { locks: { request: (_: string, grant: () => void) => Promise.resolve(granted.push(grant)) } });
    const tab = watching();
    tab.asks({ do: "outlive", lock: "tab" });
    expect(Source.open).toHaveLength(1);
    granted[0]?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(Source.open).toEqual([]);
  });

  it("reads the conversation anew when a delta does not fit", () => {
    watching();
    newest().says("reset", RESET, "e-1");
    newest().says("delta", { reply_id: "r", text: "lo", offset: 3 }, "e-2");
    expect(Source.open).toHaveLength(1);
    expect(newest().url).toBe("/api/conversations/c/events");
  });

  it("says when the conversation is gone, and when the session is", () => {
    const [one, two] = [watching("a"), watching("b")];
    Source.all[0]?.says("gone", {});
    Source.all[1]?.says("login", {});
    expect([one.link, two.link]).toEqual(["missing", "login"]);
    expect(Source.open).toEqual([]);
  });
});
