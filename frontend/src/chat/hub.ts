import { EVENT_TYPES, type ChatEvent } from "../types";
import { empty, reduce, snapshot } from "./thread";

/** How a stream stands. `missing`: the conversation cannot be read; the page finds out why. */
export type Link = "connecting" | "open" | "broken" | "missing" | "login";

export type ToHub =
  { do: "watch"; id: string } | { do: "wake"; stale: boolean } | { do: "resync" } | { do: "leave" } | { do: "outlive"; lock: string };
export type FromHub = { id: string } & ({ event: ChatEvent } | { link: Link });

/** One end of a MessageChannel, or of a SharedWorker's. */
export interface Port {
  onmessage: ((message: MessageEvent<ToHub>) => void) | null;
  postMessage: (message: FromHub) => void;
}

// Browsers open six connections to a host; two are left for requests.
const STREAMS_MAX = 4;
const FRESH_MS = 20_000;
const AGAIN_MAX_MS = 15_000;
// Two and a half of the pings that the server sends when nothing else happens.
const SILENT_MAX_MS = 37_500;
// The server begins to answer at once. A browser may ask over an old connection that is dead without its knowing.
const ANSWER_MAX_MS = 10_000;

/** One conversation's stream, shared by all who watch it. It knows the thread, so that late comers need not ask. */
class Stream {
  readonly ports = new Set<Port>();
  private source: EventSource | null = null;
  private thread;
  private link: Link = "connecting";
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;

  constructor(readonly id: string) {
    this.thread = empty(id);
  }

  join(port: Port): void {
    this.ports.add(port);
    if (this.thread.position) {
      const reset: ChatEvent = { type: "reset", id: this.thread.position, data: snapshot(this.thread) };
      port.postMessage({ id: this.id, event: reset });
    }
    port.postMessage({ id: this.id, link: this.link });
  }

  open(): void {
    this.close();
    // A new EventSource sends no Last-Event-ID.
    const after = this.thread.position ? `?after=${encodeURIComponent(this.thread.position)}` : "";
    const source = (this.source = new EventSource(`/api/conversations/${this.id}/events${after}`));
    this.again(ANSWER_MAX_MS);
    source.onopen = () => {
      this.failures = 0;
      this.alive();
      this.tell("open");
    };
    source.addEventListener("ping", () => this.alive());
    source.onerror = () => {
      this.tell("broken");
      // The browser tries again by itself, unless the answer was an error, which it does not show.
      if (source.readyState === EventSource.CLOSED) void this.diagnose();
    };
    for (const type of EVENT_TYPES)
      source.addEventListener(type, (message: MessageEvent<string>) => this.hear(type, message));
  }

  /** Come back to life after sleep, loss of network or a new login. */
  wake(stale: boolean): void {
    if (stale || this.link !== "open" || Date.now() - this.heardAt > FRESH_MS) this.open();
  }

  resync(): void {
    this.thread = empty(this.id);
    this.open();
  }

  /** Give the connection up until somebody wakes the stream. */
  rest(): void {
    if (this.source) this.give("broken");
  }

  close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** A line that is cut somewhere may never say so: open a stream that stays silent anew. */
  private alive(): void {
    this.heardAt = Date.now();
    this.again(SILENT_MAX_MS);
  }

  private again(wait_ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.tell("broken");
      this.open();
    }, wait_ms);
  }

  private hear(type: ChatEvent["type"], message: MessageEvent<string>): void {
    this.alive();
    const event = { type, data: JSON.parse(message.data) as object } as ChatEvent;
    if (type !== "gone" && type !== "login") event.id = message.lastEventId;
    this.thread = reduce(this.thread, event);
    if (this.thread.torn) { this.resync(); return; }
    for (const port of this.ports) port.postMessage({ id: this.id, event });
    if (type === "gone") this.give("missing");
    if (type === "login") this.give("login");
  }

  private async diagnose(): Promise<void> {
    const source = this.source;
    const status = await fetch(`/api/conversations/${this.id}`, { method: "HEAD" }).then(({ status }) => status, () => 0);
    // Left, rested or opened anew meanwhile.
    if (this.source !== source) return;
    if (status === 404) this.give("missing");
    else if (status === 401) this.give("login");
    else this.again(Math.min(1000 * 2 ** this.failures++, AGAIN_MAX_MS));
  }

  private give(link: Link): void {
    this.close();
    // Who may not read it any more shall not be shown it from here either.
    if (link === "login" || link === "missing") this.thread = empty(this.id);
    this.tell(link);
  }

  private tell(link: Link): void {
    this.link = link;
    for (const port of this.ports) port.postMessage({ id: this.id, link });
  }
}

/** All streams of a browser, where there is a SharedWorker; else those of a page. */
export class Hub {
  // In the order in which somebody last looked at them, the newest at the end.
  private streams = new Map<string, Stream>();
  private watched = new Map<Port, Stream>();

  connect(port: Port): void {
    port.onmessage = ({ data }) => this.obey(port, data);
  }

  private obey(port: Port, order: ToHub): void {
    const stream = this.watched.get(port);
    if (order.do === "watch") this.watch(port, order.id);
    else if (order.do === "leave") this.leave(port);
    else if (order.do === "resync") stream?.resync();
    // The lock is free when the tab has gone, be it killed without a word.
    else if (order.do === "outlive") void navigator.locks.request(order.lock, () => this.leave(port));
    else if (stream) {
      this.touch(stream);
      stream.wake(order.stale);
    }
  }

  private watch(port: Port, id: string): void {
    this.leave(port);
    const known = this.streams.get(id);
    const stream = known ?? new Stream(id);
    this.watched.set(port, stream);
    this.touch(stream);
    stream.join(port);
    if (known) stream.wake(false);
    else stream.open();
  }

  private leave(port: Port): void {
    const stream = this.watched.get(port);
    this.watched.delete(port);
    stream?.ports.delete(port);
    if (stream && !stream.ports.size) {
      stream.close();
      this.streams.delete(stream.id);
    }
  }

  /** Streams that nobody has looked at for longest rest until somebody does. */
  private touch(stream: Stream): void {
    this.streams.delete(stream.id);
    this.streams.set(stream.id, stream);
    for (const resting of [...this.streams.values()].slice(0, -STREAMS_MAX)) resting.rest();
  }
}
