import { flushSync } from "react-dom";
import { api } from "../api";
import { save } from "../storage";
import { say } from "../texts";
import type { ChatEvent, Message } from "../types";
import { both, loadDraft } from "./draft";
import type { Link } from "./hub";
import { resync, wake, watch } from "./line";
import { isNew, newChat, outbox, type Held } from "./outbox";
import { empty, reduce, unheard, type Step, type Thread } from "./thread";

// So soon after a message was taken in the stream has told of it, if it lives.
const HEARD_MS = 5000;
const BATCH_MS = 50;
const PAGE = 50;

export interface ChatState {
  thread: Thread;
  link: Link;
  stopping: boolean;
  held: Held;
}

export interface Surroundings {
  /** The first message of a new chat has made its conversation. */
  onCreated: (id: string) => void;
  onProblem: (detail: string) => void;
}

/** One conversation as this page shows it, or a new one that begins with its first message. */
export class Chat {
  private state: ChatState;
  private listeners = new Set<() => void>();
  private around: Partial<Surroundings> = {};
  private leave: (() => void) | undefined;
  private late: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawMs = 0;

  /** `key` tells chats apart: the id of a conversation, or the name of a new chat. */
  constructor(readonly key: string = newChat()) {
    const id = isNew(key) ? null : key;
    this.state = { thread: empty(id, outbox.of(key)), link: "connecting", stopping: false, held: outbox.held };
  }

  get id(): string | null {
    return this.state.thread.id;
  }

  current = (): ChatState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Show the conversation and follow it, until `close`. */
  open(around: Surroundings): void {
    this.around = around;
    outbox.onChange = this.hearOutbox;
    this.follow();
    this.hearOutbox();
  }

  private follow(): void {
    if (this.id) this.leave = watch(this.id, { onEvent: this.hear, onLink: (link) => void this.hearLink(link) });
  }

  close(): void {
    clearTimeout(this.late);
    outbox.onChange = () => undefined;
    this.leave?.();
  }

  send = (text: string): void => outbox.add(this.id ?? this.key, text);

  resend(id: string): void {
    outbox.change(id, { state: "sending" });
    void outbox.post();
  }

  discard = (id: string): void => outbox.drop(id);

  /** As the conversation is gone, what was written for it becomes the draft of a new one. */
  moveDraft(): void {
    const id = this.id ?? "";
    const unsent = outbox.of(id).filter(({ state }) => state !== "sent");
    save("draft.new", both(loadDraft("new"), ...unsent.map(({ text }) => text), loadDraft(id)));
    for (const out of unsent) outbox.drop(out.id);
    save(`draft.${id}`, "");
  }

  async stop(): Promise<void> {
    const { turn } = this.state.thread;
    if (!turn) return;
    this.set({ stopping: true });
    if (!(await this.ask("POST", `/messages/${turn.message_id}/stop`, {}))) this.set({ stopping: false });
  }

  /** Take a waiting message back. Returns whether it did wait still; else it stays, and its reply is stopped. */
  async withdraw(id: string): Promise<boolean> {
    return (await this.ask<{ outcome: string }>("POST", `/messages/${id}/stop`, {}))?.outcome === "stopped";
  }

  /** Have the last message answered again, in place of this reply. */
  async retry(reply: Message): Promise<void> {
    await this.ask("POST", `/messages/${reply.reply_to ?? ""}/retry`, { reply_id: reply.id });
  }

  async earlier(): Promise<void> {
    const { first } = this.state.thread;
    const page = await this.ask<{ messages: Message[]; first: number }>("GET", `/messages?before=${first}&limit=${PAGE}`);
    if (page && this.state.thread.first === first) this.step({ type: "earlier", ...page });
  }

  /** Ask for something of the conversation. Returns null when that failed. */
  private async ask<T = object>(method: "GET" | "POST", path: string, body?: object): Promise<T | null> {
    try {
      return await api<T>(method, `/conversations/${this.id ?? ""}${path}`, body);
    } catch (error) {
      this.around.onProblem?.(say(error));
      return null;
    }
  }

  private hear = (event: ChatEvent): void => {
    // The link tells of these two as well, to late comers too.
    if (event.type === "login" || event.type === "gone") return;
    if (event.type === "stopped" && "withdrawn" in event.data) outbox.drop(event.data.message_id);
    this.step(event);
    if (this.state.thread.torn) resync();
    const { outbox: sent, messages } = this.state.thread;
    for (const { id } of sent) if (messages.some(({ reply_to }) => reply_to === id)) outbox.drop(id);
    if (event.type !== "reset") return;
    // A crash of the store can lose what it had confirmed; the same id makes sending again harmless.
    for (const { id } of this.sentUnheard()) outbox.change(id, { state: "sending" });
    void outbox.post();
  };

  private sentUnheard = () => unheard(this.state.thread).filter(({ state }) => state === "sent");

  private hearOutbox = (): void => {
    const before = this.state.thread;
    const moved = !before.id && outbox.mine().find(({ id, chat }) => !isNew(chat) && before.outbox.some((out) => out.id === id));
    const id = moved ? moved.chat : before.id;
    this.step({ type: "kept", id, outbox: outbox.of(id ?? this.key) });
    this.set({ held: outbox.held });
    clearTimeout(this.late);
    if (this.sentUnheard().length) this.late = setTimeout(() => this.sentUnheard().length && wake(true), HEARD_MS);
    if (!moved) return;
    // What was written here after another tab has begun the conversation belongs to it too.
    outbox.move(this.key, moved.chat);
    this.follow();
    this.around.onCreated?.(moved.chat);
  };

  private async hearLink(link: Link): Promise<void> {
    this.set({ link });
    if (link === "open") void outbox.post();
    if ((link !== "login" && link !== "missing") || (await outbox.signedOut())) return;
    if (link === "missing") this.step({ type: "gone", data: {} });
    else resync();
  }

  private step(step: Step): void {
    const thread = reduce(this.state.thread, step);
    const stopping = this.state.stopping && thread.turn !== null;
    this.state = { ...this.state, thread, stopping };
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
