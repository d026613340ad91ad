import { flushSync } from "react-dom";
import { api, asProblem, newId } from "../api";
import { load, save, session } from "../storage";
import type { ChatEvent, Message, Snapshot } from "../types";
import type { Link } from "./hub";
import { resync, wake, watch } from "./line";
import { empty, reduce, unheard, type Outgoing, type Step, type Thread } from "./thread";

const AGAIN_MAX_MS = 15_000;
// So soon after a message was taken in the stream has told of it, if it lives.
const HEARD_MS = 5000;
const BATCH_MS = 50;
const PAGE = 50;

/** Where the browser keeps what was sent and not yet heard of; a new chat has no id yet. */
const outboxOf = (id: string | null): string => `outbox.${id ?? "new"}`;

export interface ChatState {
  thread: Thread;
  link: Link;
  stopping: boolean;
  /** What messages wait for before they can be sent. */
  held: "network" | "login" | null;
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
  /** Chats with messages that wait to be sent, also when another chat is shown. */
  private static held = new Set<Chat>();
  /** Tells chats apart, also before they have an id. */
  readonly key = Chat.made++;
  private state: ChatState;
  private listeners = new Set<() => void>();
  private leave: (() => void) | null = null;
  private shown = false;
  private posting = false;
  private tries = 0;
  private again: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawMs = 0;

  private around: Partial<Surroundings> = {};

  constructor(id: string | null) {
    const outbox = id || !Chat.unborn ? load<Outgoing[]>(outboxOf(id), [], session) : [];
    this.state = { thread: empty(id, outbox), link: "connecting", stopping: false, held: null };
  }

  static of(id: string | null): Chat {
    return [...Chat.held].find((chat) => chat.id === id) ?? new Chat(id);
  }

  /** The network is back, or the person. */
  static sendHeld(): void {
    for (const chat of Chat.held) void chat.post();
  }

  /** The person has left; so does what they had still to send. */
  static dropHeld(): void {
    for (const { again } of Chat.held) clearTimeout(again);
    Chat.held.clear();
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
    let held: ChatState["held"] = null;
    for (let next; !held && (next = this.state.thread.outbox.find(({ state }) => state === "sending")); ) held = await this.postOne(next);
    this.posting = false;
    if (Chat.unborn === this) Chat.unborn = null;
    this.hold(held);
  }

  private hold(held: ChatState["held"]): void {
    clearTimeout(this.again);
    this.tries = held ? this.tries + 1 : 0;
    if (held) Chat.held.add(this);
    else Chat.held.delete(this);
    if (held === "network") this.again = setTimeout(() => void this.post(), Math.min(500 * 2 ** this.tries, AGAIN_MAX_MS));
    if (held !== this.state.held) this.set({ held });
  }

  /** Post a message. Returns what it must wait for first. */
  private async postOne({ id, text }: Outgoing): Promise<ChatState["held"]> {
    try {
      const conversation = this.id ?? (await this.create());
      const { outcome } = await api<{ outcome: string }>("POST", `/conversations/${conversation}/messages`, { id, text });
      this.step(outcome === "withdrawn" || outcome === "finished" ? { type: "discarded", id } : { type: "sent", id });
      this.around.onSent?.(conversation, text);
      setTimeout(() => {
        if (this.shown && unheard(this.state.thread).some((out) => out.id === id)) wake(true);
      }, HEARD_MS);
    } catch (error) {
      const problem = asProblem(error);
      if (problem.passing) return "network";
      if ([401, 404].includes(problem.status) && (await this.around.signedOut?.())) return "login";
      this.step({ type: "refused", id, problem: problem.fields["text"]?.join(" ") ?? problem.message });
    }
    return null;
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
    if (link === "open") void this.post();
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

window.addEventListener("online", () => Chat.sendHeld());
