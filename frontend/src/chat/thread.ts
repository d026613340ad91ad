import type { ChatEvent, Message, Snapshot, Turn } from "../types";
import type { Outgoing } from "./outbox";

/** All that is known of a conversation. `first` is the index of the oldest message that is here. */
export interface Thread {
  id: string | null;
  title: string | null;
  messages: Message[];
  first: number;
  pending: Message[];
  turn: Turn | null;
  /** What this browser has sent to it. */
  outbox: Outgoing[];
  position: string | null;
  /** Something was missed: the conversation must be read anew. */
  torn: boolean;
  state: "loading" | "live" | "gone";
}

export type Step =
  | ChatEvent
  | { type: "kept"; id: string | null; outbox: Outgoing[] }
  | { type: "earlier"; messages: Message[]; first: number };

export const empty = (id: string | null, outbox: Outgoing[] = []): Thread => ({
  id, outbox, title: null, messages: [], first: 0, pending: [], turn: null, position: null, torn: false,
  state: id ? "loading" : "live",
});

/** The thread after an event or a step of this browser. An event that was seen already changes nothing. */
export function reduce(thread: Thread, step: Step): Thread {
  if (step.type === "kept") return { ...thread, id: step.id, outbox: step.outbox };
  if (step.type === "earlier") return { ...thread, first: step.first, messages: [...step.messages, ...thread.messages] };
  if (step.type === "reset") return reset(thread, step.data, step.id ?? step.data.position);
  if (step.id && seen(thread.position, step.id)) return thread;
  const next = remote(thread, step);
  return step.id ? { ...next, position: step.id } : next;
}

/** The conversation as the server would tell it now, for a tab that comes later. */
export const snapshot = (thread: Thread): Snapshot => ({
  id: thread.id ?? "", title: thread.title, messages: thread.messages, total: thread.first + thread.messages.length,
  pending: thread.pending, turn: thread.turn, position: thread.position ?? "",
});

/** What this browser has sent and the server has not yet told of. */
export const unheard = ({ outbox, messages, pending }: Thread): Outgoing[] =>
  outbox.filter(({ id }) => !find(messages, id) && !find(pending, id));

const find = (messages: Message[], id: string) => messages.find((message) => message.id === id);
const without = <T extends { id: string }>(list: T[], id: string) => list.filter((item) => item.id !== id);

function seen(position: string | null, id: string): boolean {
  if (!position) return false;
  const [epoch, n] = position.split("-"), [epochOf, nOf] = id.split("-");
  return epoch === epochOf && Number(nOf) <= Number(n);
}

function reset(thread: Thread, data: Snapshot, position: string): Thread {
  // Pages of history that were fetched before stay, where the new messages go on from them.
  const oldest = data.messages[0];
  const overlap = oldest ? thread.messages.findIndex(({ id }) => id === oldest.id) : -1;
  const messages = [...thread.messages.slice(0, Math.max(overlap, 0)), ...data.messages];
  return {
    ...thread, id: data.id || thread.id, title: data.title, messages, first: data.total - messages.length,
    pending: data.pending, turn: data.turn, position, torn: false, state: "live",
  };
}

function remote(thread: Thread, event: Exclude<ChatEvent, { type: "reset" }>): Thread {
  switch (event.type) {
    case "accepted":
      return accepted(thread, event.data.message, event.data.retry ?? false);
    case "started": {
      const { message_id } = event.data;
      const begun = find(thread.pending, message_id);
      const messages = begun ? [...without(thread.messages, message_id), begun] : thread.messages;
      return { ...thread, messages, pending: without(thread.pending, message_id), turn: { ...event.data, text: "" } };
    }
    case "delta":
      return delta(thread, event.data);
    case "stopped":
      return "message" in event.data ? ended(thread, event.data.message) : withdrawn(thread, event.data);
    case "completed":
      return ended(thread, event.data.message);
    case "failed": {
      const { message, code, detail, retryable } = event.data;
      return ended(thread, { ...message, failure: { code, detail, retryable } });
    }
    case "gone":
      return { ...thread, state: "gone", turn: null, pending: [] };
    case "login":
      return thread;
  }
}

function accepted(thread: Thread, message: Message, retry: boolean): Thread {
  const messages = retry
    ? thread.messages.filter(({ id, reply_to }) => id !== message.id && reply_to !== message.id)
    : thread.messages;
  return { ...thread, messages, pending: [...without(thread.pending, message.id), message] };
}

function delta(thread: Thread, { reply_id, text, offset }: { reply_id: string; text: string; offset: number }): Thread {
  const { turn } = thread;
  if (turn?.reply_id !== reply_id || offset > turn.text.length) return { ...thread, torn: true };
  const news = text.slice(turn.text.length - offset);
  return news ? { ...thread, turn: { ...turn, text: turn.text + news } } : thread;
}

function ended(thread: Thread, reply: Message): Thread {
  const question = reply.reply_to ?? "";
  // Whoever comes back to a turn that has ended meanwhile may never hear of its start.
  const waited = find(thread.pending, question);
  const messages = [...without(thread.messages, reply.id), ...(waited ? [waited] : []), reply];
  const turn = thread.turn?.message_id === question ? null : thread.turn;
  return { ...thread, messages, turn, pending: without(thread.pending, question) };
}

function withdrawn(thread: Thread, { message_id, restored }: { message_id: string; restored?: Message }): Thread {
  const message = find(thread.pending, message_id);
  const back = restored && message ? [message, restored] : [];
  return { ...thread, messages: [...thread.messages, ...back], pending: without(thread.pending, message_id) };
}
