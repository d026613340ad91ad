import { flushSync } from "react-dom";
import { api, asProblem, newId } from "../api";
import { load, save, session } from "../storage";
import type { Accepted, ChatEvent, Message, Snapshot } from "../types";
import type { Link } from "./hub";
import { resync, watch } from "./line";
import { empty, reduce, type Outgoing, type Step, type Thread } from "./thread";

const TRIES_MAX = 5;
const BATCH_MS = 50;
const PAGE = 50;

/** Where the browser keeps what was sent and not yet heard of; a new chat has no id yet. */
const outboxOf = (id: string | null): string => `outbox.${id ?? "new"}`;

export interface ChatState {
  thread: Thread;
  link: Link;
  stopping: boolean;
}

export interface Surroundings {
  /** The first message of a new chat has made its conversation. */
  onCreated: (id: string) => void;
  /** Whose conversations are made here; null for a guest's. */
  account: string | null;
  /** A message was taken in, so the list of conversations is no longer what it was. */
  onSent: (id: string, text: string) => void;
  /** Whether it is the session that has ended, when a conversation cannot be found. */
  signedOut: () => Promise<boolean>;
  onProblem: (detail: string) => void;
}

/** One conversation as this page shows it, or a new one that begins with its first message. */
export class Chat {
  private static made = 0;
  /** The chat whose first message is on its way: it alone posts what is kept for new chats. */
  private static unborn: Chat | null = null;
  /** Tells chats apart, also before they have an id. */
  readonly key = Chat.made++;
  private state: ChatState;
  private listeners = new Set<() => void>();
  private leave: (() => void) | null = null;
  private shown = false;
  private posting = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawMs = 0;

  private around: Partial<Surroundings> = {};

  constructor(id: string | null) {
    const outbox = id || !Chat.unborn ? load<Outgoing[]>(outboxOf(id), [], session) : [];
    this.state = { thread: empty(id, outbox), link: "connecting", stopping: false };
  }

  get id(): string | null {
    return this.state.thread.id;
  }

  current = (): ChatState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  surround(around: Surroundings): void {
    this.around = around;
  }

  /** Show the conversation and follow it, until `close`. */
  open(): void {
    this.shown = true;
    this.follow();
  }

  private follow(): void {
    if (this.id) this.leave = watch(this.id, { onEvent: this.hear, onLink: (link) => void this.hearLink(link) });
  }

  close(): void {
    this.shown = false;
    this.leave?.();
    this.leave = null;
  }

  send(text: string): void {
    const message: Outgoing = { id: newId(), text, at: new Date().toISOString(), state: "sending" };
    this.step({ type: "sending", message });
    void this.post();
  }

  resend(id: string): void {
    this.step({ type: "again", id });
    void this.post();
  }

  discard(id: string): void {
    this.step({ type: "discarded", id });
  }

  async stop(): Promise<void> {
    const { turn } = this.state.thread;
    if (!turn) return;
    this.set({ stopping: true });
    if (!(await this.ask(`/messages/${turn.message_id}/stop`, {}))) this.set({ stopping: false });
  }

  /** Take a waiting message back. */
  withdraw(id: string): Promise<boolean> {
    return this.ask(`/messages/${id}/stop`, {});
  }

  /** Have the last message answered again, in place of this reply. */
  retry(reply: Message): Promise<boolean> {
    return this.ask(`/messages/${reply.reply_to ?? ""}/retry`, { reply_id: reply.id });
  }

  async earlier(): Promise<void> {
    const { id, first } = this.state.thread;
    try {
      const page = await api<{ messages: Message[]; first: number }>(
        "GET", `/conversations/${id ?? ""}/messages?before=${first}&limit=${PAGE}`,
      );
      if (this.state.thread.first === first) this.step({ type: "earlier", ...page });
    } catch (error) {
      this.around.onProblem?.(asProblem(error).message);
    }
  }

  /** Post what waits to be posted, one after the other, so that the order holds. */
  async post(): Promise<void> {
    if (this.posting) return;
    this.posting = true;
    if (!this.id) Chat.unborn = this;
    for (let tries = 0, next; (next = this.state.thread.outbox.find(({ state }) => state === "sending")); ) {
      const outcome = await this.postOne(next);
      if (outcome === "hold") break;
      tries = outcome === "again" ? tries + 1 : 0;
      if (tries >= TRIES_MAX) this.step({ type: "refused", id: next.id, problem: "" });
      else if (tries) await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tries));
    }
    this.posting = false;
    if (Chat.unborn === this) Chat.unborn = null;
  }

  private async postOne({ id, text }: Outgoing): Promise<"done" | "again" | "hold"> {
    try {
      const conversation = this.id ?? (await this.create());
      const { outcome } = await api<Accepted>("POST", `/conversations/${conversation}/messages`, { id, text });
      this.step(outcome === "withdrawn" || outcome === "finished" ? { type: "discarded", id } : { type: "sent", id });
      this.around.onSent?.(conversation, text);
      return "done";
    } catch (error) {
      const problem = asProblem(error);
      if (problem.passing) return "again";
      // It stays as it is, and goes out after the next login.
      if ([401, 404].includes(problem.status) && (await this.around.signedOut?.())) return "hold";
      this.step({ type: "refused", id, problem: problem.fields["text"]?.join(" ") ?? problem.message });
      return "done";
    }
  }

  private async create(): Promise<string> {
    const { account } = this.around;
    // Named, so that nothing of an account becomes a guest's when its session has ended unnoticed.
    const snapshot = await api<Snapshot>("POST", "/conversations", account ? { account } : {});
    this.step({ type: "reset", data: snapshot });
    // Another conversation may be shown by now; its stream must not be taken away.
    if (this.shown) this.follow();
    this.around.onCreated?.(snapshot.id);
    return snapshot.id;
  }

  private async ask(path: string, body: object): Promise<boolean> {
    try {
      await api("POST", `/conversations/${this.id ?? ""}${path}`, body);
      return true;
    } catch (error) {
      this.around.onProblem?.(asProblem(error).message);
      return false;
    }
  }

  private hear = (event: ChatEvent): void => {
    // The link tells of these two as well, to late comers too.
    if (event.type === "login" || event.type === "gone") return;
    this.step(event);
    if (this.state.thread.torn) resync();
    if (event.type === "reset") void this.post();
  };

  private async hearLink(link: Link): Promise<void> {
    this.set({ link });
    if ((link !== "login" && link !== "missing") || (await this.around.signedOut?.())) return;
    if (link === "missing") this.step({ type: "gone", data: {} });
    else resync();
  }

  private step(step: Step): void {
    const before = this.state.thread;
    const thread = reduce(before, step);
    const stopping = this.state.stopping && thread.turn !== null;
    this.state = { ...this.state, thread, stopping };
    if (thread.id !== before.id) save(outboxOf(before.id), null, session);
    if (thread.id !== before.id || thread.outbox !== before.outbox) save(outboxOf(thread.id), thread.outbox, session);
    if (step.type === "delta") this.timer ??= setTimeout(this.drawBatch, Math.max(BATCH_MS, 4 * this.drawMs));
    else this.draw();
  }

  private set(change: Partial<ChatState>): void {
    this.state = { ...this.state, ...change };
    this.draw();
  }

  private draw(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const listener of this.listeners) listener();
  }

  /** Draw what came meanwhile. The longer that takes, the longer the next batch is collected. */
  private drawBatch = (): void => {
    const begun = performance.now();
    flushSync(() => this.draw());
    this.drawMs = performance.now() - begun;
  };
}
