import { describe, expect, it } from "vitest";
import type { Outgoing } from "../src/chat/outbox";
import { empty, reduce, snapshot, unheard, type Step, type Thread } from "../src/chat/thread";
import type { ChatEvent, Message, Snapshot } from "../src/types";

const human = (id: string, text = id): Message => ({ id, role: "human", text, at: "2026-01-01T00:00:00Z" });
const bot = (id: string, reply_to: string, text = ""): Message =>
  ({ id, role: "bot", text, at: "2026-01-01T00:00:01Z", reply_to, status: "completed" });
const whole = (more: Partial<Snapshot> = {}): Snapshot =>
  ({ id: "c", title: null, messages: [], total: 0, pending: [], turn: null, position: "e-0", ...more });
const kept = (id: string): Step => {
  const out: Outgoing = { id, chat: "c", owner: "", text: id, at: "2026-01-01T00:00:00Z", state: "sending" };
  return { type: "kept", id: "c", outbox: [out] };
};

/** The thread after these steps; events that carry data are numbered from 1. */
function after(steps: Step[], from: Thread = reduce(empty("c"), { type: "reset", id: "e-0", data: whole() })): Thread {
  let n = 0;
  return steps.reduce((thread, step) => reduce(thread, "data" in step ? { ...step, id: step.id ?? `e-${++n}` } : step), from);
}

const accepted = (id: string, retry?: boolean): ChatEvent =>
  ({ type: "accepted", data: { message: human(id), position: 0, ...(retry && { retry }) } });
const started = (message_id: string, reply_id: string, attempt = 1): ChatEvent =>
  ({ type: "started", data: { message_id, reply_id, attempt } });
const delta = (reply_id: string, text: string, offset: number): ChatEvent => ({ type: "delta", data: { reply_id, text, offset } });
const completed = (id: string, reply_to: string, text: string): ChatEvent => ({ type: "completed", data: { message: bot(id, reply_to, text) } });

describe("a turn", () => {
  it("goes from waiting over running to its reply", () => {
    const steps = [accepted("m"), started("m", "r"), delta("r", "Hel", 0), delta("r", "lo", 3)];
    expect(after(steps.slice(0, 1)).pending.map(({ id }) => id)).toEqual(["m"]);
    const running = after(steps);
    expect(running.pending).toEqual([]);
    expect(running.messages.map(({ id }) => id)).toEqual(["m"]);
    expect(running.turn?.text).toBe("Hello");
    const done = after([...steps, completed("r", "m", "Hello")]);
    expect(done.turn).toBeNull();
    expect(done.messages.map(({ text }) => text)).toEqual(["m", "Hello"]);
  });

  it("that begins again drops its partial text", () => {
    const thread = after([accepted("m"), started("m", "r"), delta("r", "Hel", 0), started("m", "r2", 2)]);
    expect(thread.turn).toEqual({ message_id: "m", reply_id: "r2", attempt: 2, text: "" });
    expect(thread.messages).toHaveLength(1);
  });

  it("counts offsets in UTF-16 code units", () => {
    const thread = after([accepted("m"), started("m", "r"), delta("r", "😀", 0), delta("r", "!", 2)]);
    expect(thread.turn?.text).toBe("😀!");
    expect(thread.torn).toBe(false);
  });

  it("takes of a delta only what is new", () => {
    expect(after([accepted("m"), started("m", "r"), delta("r", "Hello", 0), delta("r", "llo you", 2)]).turn?.text).toBe("Hello you");
  });

  it("is torn by a hole in the text, and mended by a reset", () => {
    const torn = after([accepted("m"), started("m", "r"), delta("r", "lo", 3)]);
    expect(torn.torn).toBe(true);
    const turn = { message_id: "m", reply_id: "r", attempt: 1, text: "Hello" };
    const mended = reduce(torn, { type: "reset", id: "e-9", data: whole({ messages: [human("m")], total: 1, turn }) });
    expect(mended.torn).toBe(false);
    expect(mended.turn?.text).toBe("Hello");
  });

  it("may end for who has not seen it begin", () => {
    const thread = after([accepted("m"), completed("r", "m", "Hello")]);
    expect(thread.pending).toEqual([]);
    expect(thread.messages.map(({ id }) => id)).toEqual(["m", "r"]);
  });

  it("keeps why it failed", () => {
    const failure = { code: "model_broke", detail: "It broke.", retryable: true };
    const thread = after([accepted("m"), { type: "failed", data: { message: bot("r", "m"), ...failure } }]);
    expect(thread.messages.at(-1)?.failure).toEqual(failure);
  });
});

describe("events", () => {
  it("that were seen change nothing", () => {
    const thread = after([accepted("m"), started("m", "r"), delta("r", "Hel", 0)]);
    expect(reduce(thread, { ...delta("r", "Hel", 0), id: "e-3" })).toBe(thread);
    expect(reduce(thread, { ...started("m", "r"), id: "e-2" })).toBe(thread);
  });

  it("of another epoch are new", () => {
    expect(after([{ ...accepted("m"), id: "f-1" }]).pending).toHaveLength(1);
  });

  it("of a retry take the old reply away, and a withdrawn one brings it back", () => {
    const before = after([accepted("m"), started("m", "r"), completed("r", "m", "Hello")]);
    const retried = reduce(before, { ...accepted("m", true), id: "e-4" });
    expect(retried.messages).toEqual([]);
    expect(retried.pending).toHaveLength(1);
    const restored = bot("r", "m", "Hello");
    const back = reduce(retried, { type: "stopped", id: "e-5", data: { message_id: "m", withdrawn: true, restored } });
    expect(back.messages.map(({ id }) => id)).toEqual(["m", "r"]);
    expect(back.pending).toEqual([]);
  });

  it("of a withdrawn message take it away", () => {
    const thread = after([accepted("m"), { type: "stopped", data: { message_id: "m", withdrawn: true } }]);
    expect([thread.pending, thread.messages]).toEqual([[], []]);
  });

  it("of a conversation that is gone end its turn", () => {
    const thread = after([accepted("m"), started("m", "r"), { type: "gone", data: {} }]);
    expect([thread.state, thread.turn]).toEqual(["gone", null]);
  });
});

describe("own messages", () => {
  it("are shown until the server tells of them", () => {
    expect(unheard(after([kept("m")])).map(({ id }) => id)).toEqual(["m"]);
    expect(unheard(after([kept("m"), accepted("m")]))).toEqual([]);
  });
});

describe("history", () => {
  it("that was fetched stays after a reset that goes on from it", () => {
    const messages = [human("3"), human("4")];
    const start = reduce(empty("c"), { type: "reset", id: "e-1", data: whole({ messages, total: 4 }) });
    expect(start.first).toBe(2);
    const more = reduce(start, { type: "earlier", messages: [human("1"), human("2")], first: 0 });
    const again = reduce(more, { type: "reset", id: "e-2", data: whole({ messages: [human("4"), human("5")], total: 5 }) });
    expect(again.messages.map(({ id }) => id)).toEqual(["1", "2", "3", "4", "5"]);
    expect(again.first).toBe(0);
  });

  it("can be handed on as a snapshot", () => {
    const thread = after([accepted("m"), started("m", "r"), delta("r", "Hel", 0), accepted("n")]);
    const copy = reduce(empty("c"), { type: "reset", id: thread.position ?? "", data: snapshot(thread) });
    expect(copy).toEqual(thread);
  });
});
