import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Chat, type Surroundings } from "../src/chat/chat";
import * as line from "../src/chat/line";
import { outbox } from "../src/chat/outbox";

const ID = "00000000-0000-4000-8000-000000000001";
const OTHER = "00000000-0000-4000-8000-000000000002";
// New chats that become these.
const [NEW, OTHER_NEW] = [`new/${ID}`, `new/${OTHER}`];
const SNAPSHOT = { id: ID, title: null, messages: [], total: 0, pending: [], turn: null, position: "e-0" };

type Answer = { status?: number; body?: object } | "unreachable";
let asked: { path: string; body: { id: string; text: string } }[];
let answers: Answer[];

beforeEach(() => {
  localStorage.clear();
  Object.assign(outbox, { owner: "", ready: true, held: null, onSent: vi.fn(), signedOut: () => Promise.resolve(false) });
  vi.useFakeTimers();
  [asked, answers] = [[], []];
  vi.stubGlobal("EventSource", class extends EventTarget { close = vi.fn(); });
  vi.stubGlobal("fetch", (path: string, { body }: { body: string }) => {
    asked.push({ path, body: JSON.parse(body) as { id: string; text: string } });
    const answer = answers.shift() ?? { body: { outcome: "waiting" } };
    if (answer === "unreachable") return Promise.reject(new TypeError("no network"));
    const { status = 200, body: told = {} } = answer;
    return Promise.resolve({ ok: status < 400, status, statusText: "", json: () => Promise.resolve(told) });
  });
});
afterEach(() => {
  for (const chat of open.splice(0)) chat.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const open: Chat[] = [];
function start(key?: string, more: Partial<Surroundings> = {}): Chat {
  const chat = new Chat(key);
  chat.open({ onCreated: vi.fn(), onProblem: vi.fn(), ...more });
  open.push(chat);
  return chat;
}
const states = (chat: Chat) => chat.current().thread.outbox.map(({ text, state }) => [text, state]);
const kept = () => outbox.mine().map(({ text, state, chat }) => [text, state, chat]);
const paths = () => asked.map(({ path }) => path);

it("makes the conversation with the first message, and sends the next ones in order", async () => {
  answers = [{ status: 201, body: SNAPSHOT }];
  const onCreated = vi.fn();
  const chat = start(NEW, { onCreated });
  chat.send("one");
  vi.advanceTimersByTime(1);
  chat.send("two");
  expect(states(chat)).toEqual([["one", "sending"], ["two", "sending"]]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(onCreated).toHaveBeenCalledExactlyOnceWith(ID);
  expect(paths()).toEqual(["/api/conversations", `/api/conversations/${ID}/messages`, `/api/conversations/${ID}/messages`]);
  expect(states(chat)).toEqual([["one", "sent"], ["two", "sent"]]);
});

it("sends again under the same id while nobody answers", async () => {
  answers = ["unreachable", { status: 503 }];
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toHaveLength(3);
  expect(new Set(asked.map(({ body }) => body.id)).size).toBe(1);
  expect(states(chat)).toEqual([["one", "sent"]]);
});

it("holds a message while the network is away, says so, and sends it when that is back", async () => {
  answers = Array.from({ length: 40 }, (): Answer => "unreachable");
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(states(chat)).toEqual([["one", "sending"]]);
  expect(chat.current().held).toBe("network");
  answers = [];
  window.dispatchEvent(new Event("online"));
  await vi.advanceTimersByTimeAsync(0);
  expect(states(chat)).toEqual([["one", "sent"]]);
  expect(chat.current().held).toBeNull();
});

it("sends what it holds as soon as the stream is open again", async () => {
  const sources: { onopen: (() => void) | null }[] = [];
  vi.stubGlobal("EventSource", class extends EventTarget { onopen = null; close = vi.fn(); constructor() { super(); sources.push(this); } });
  answers = Array.from({ length: 40 }, (): Answer => ({ status: 503 }));
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(chat.current().held).toBe("network");
  answers = [];
  sources.at(-1)?.onopen?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(states(chat)).toEqual([["one", "sent"]]);
});

it("goes on trying while another chat is shown", async () => {
  answers = ["unreachable"];
  start(NEW).send("one");
  await vi.advanceTimersByTimeAsync(0);
  start(OTHER);
  answers = [{ status: 201, body: SNAPSHOT }];
  await vi.advanceTimersByTimeAsync(15_000);
  expect(kept()).toEqual([["one", "sent", ID]]);
});

it("keeps what several new chats were about to send apart, also through a reload", async () => {
  answers = ["unreachable", "unreachable"];
  start(NEW).send("one");
  await vi.advanceTimersByTimeAsync(1);
  start(OTHER_NEW).send("two");
  await vi.advanceTimersByTimeAsync(0);
  answers = [{ status: 201, body: SNAPSHOT }, { body: { outcome: "waiting" } }, { status: 201, body: SNAPSHOT }];
  vi.resetModules();
  const { outbox: reloaded } = await import("../src/chat/outbox");
  reloaded.ready = true;
  await reloaded.post();
  expect(kept()).toEqual([["one", "sent", ID], ["two", "sent", OTHER]]);
});

it("posts what a tab that was closed has left, and shows what another tab has begun", async () => {
  const onCreated = vi.fn();
  const key = start().key;
  outbox.add(key, "one");
  const chat = start(key, { onCreated });
  const [message] = outbox.mine();
  localStorage.setItem(`parley.outbox.${message?.id ?? ""}`, JSON.stringify({ ...message, chat: ID, state: "sent" }));
  window.dispatchEvent(new StorageEvent("storage", { key: "parley.outbox.x" }));
  expect(onCreated).toHaveBeenCalledExactlyOnceWith(ID);
  expect([chat.id, states(chat)]).toEqual([ID, [["one", "sent"]]]);
  await vi.advanceTimersByTimeAsync(0);
});

it("sends nothing more for somebody who has left, and for a guest whoever signs in", async () => {
  answers = ["unreachable"];
  outbox.owner = "ada";
  start(ID).send("one");
  await vi.advanceTimersByTimeAsync(0);
  outbox.owner = "";
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  answers = ["unreachable"];
  start(OTHER).send("two");
  await vi.advanceTimersByTimeAsync(0);
  outbox.owner = "bea";
  await outbox.post();
  expect(asked.map(({ body }) => body.text)).toEqual(["one", "two", "two"]);
});

it("sends also what the browser would not keep", async () => {
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(0);
  expect(states(chat)).toEqual([["one", "sent"]]);
  outbox.drop(outbox.mine()[0]?.id ?? "");
});

it("takes what was answered out of what is kept, and sends again what the store has lost", async () => {
  const sources: EventTarget[] = [];
  vi.stubGlobal("EventSource", class extends EventTarget { close = vi.fn(); constructor() { super(); sources.push(this); } });
  const chat = start(ID);
  const tell = (type: string, data: object) => sources.at(-1)?.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  for (const text of ["answered", "lost", "withdrawn"]) {
    chat.send(text);
    await vi.advanceTimersByTimeAsync(1);
  }
  const ids = outbox.mine().map(({ id }) => id);
  const reply = { id: "r", role: "bot", text: "", at: "", reply_to: ids[0] };
  asked = [];
  tell("reset", { ...SNAPSHOT, messages: [reply], total: 1, pending: [{ id: ids[2], role: "human", text: "", at: "" }] });
  await vi.advanceTimersByTimeAsync(1);
  expect(asked.map(({ body }) => body.id)).toEqual([ids[1]]);
  tell("stopped", { message_id: ids[2], withdrawn: true });
  expect(states(chat)).toEqual([["lost", "sent"]]);
});

it("gives a message back only if that waited still", async () => {
  answers = [{ body: { outcome: "stopped" } }, { body: { outcome: "stopping" } }, { status: 404 }];
  const chat = start(ID);
  expect([await chat.withdraw("m"), await chat.withdraw("m"), await chat.withdraw("m")]).toEqual([true, false, false]);
});

it("makes what could not be sent to a conversation that is gone the draft of a new one", async () => {
  answers = [{ status: 404 }];
  localStorage.setItem("parley.draft.new", '"new"');
  localStorage.setItem(`parley.draft.${ID}`, '"old"');
  const chat = start(ID);
  chat.send("unsent");
  await vi.advanceTimersByTimeAsync(0);
  chat.moveDraft();
  expect(localStorage.getItem("parley.draft.new")).toBe(JSON.stringify("new\n\nunsent\n\nold"));
  expect([kept(), localStorage.getItem(`parley.draft.${ID}`)]).toEqual([[], null]);
});

it("wakes the stream when that says nothing of a message that was taken in", async () => {
  const wake = vi.spyOn(line, "wake");
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(4000);
  expect(wake).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1000);
  expect(wake).toHaveBeenCalledExactlyOnceWith(true);
});

it("says why a message was refused, and goes on with the next one", async () => {
  answers = [{ status: 422, body: { code: "invalid", detail: "No.", fields: { text: ["Too odd."] } } }];
  const chat = start(ID);
  chat.send("one");
  vi.advanceTimersByTime(1);
  chat.send("two");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(states(chat)).toEqual([["one", "failed"], ["two", "sent"]]);
  expect(chat.current().thread.outbox[0]?.problem).toBe("Too odd.");
});

it("holds messages back while the session is over", async () => {
  answers = [{ status: 404 }];
  let over = true;
  outbox.signedOut = () => Promise.resolve(over);
  const chat = start(ID);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(states(chat)).toEqual([["one", "sending"]]);
  expect(chat.current().held).toBe("login");
  over = false;
  await outbox.post();
  expect(states(chat)).toEqual([["one", "sent"]]);
});

it("asks for the same conversation again when the answer was lost", async () => {
  answers = ["unreachable", { status: 503 }, { status: 201, body: SNAPSHOT }];
  start().send("one");
  await vi.advanceTimersByTimeAsync(10_000);
  const made = asked.filter(({ path }) => path === "/api/conversations").map(({ body }) => body.id);
  expect([made.length, new Set(made).size]).toEqual([3, 1]);
  expect(kept()).toEqual([["one", "sent", made[0]]]);
});

it("keeps a message that a new chat could not send until it goes again", async () => {
  answers = [{ status: 422, body: { detail: "No." } }];
  const chat = start(NEW);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(10_000);
  const again = start(chat.key);
  expect(states(again)).toEqual([["one", "failed"]]);
  answers = [{ status: 201, body: SNAPSHOT }];
  again.resend(again.current().thread.outbox[0]?.id ?? "");
  await vi.advanceTimersByTimeAsync(0);
  expect(states(again)).toEqual([["one", "sent"]]);
  expect(again.id).toBe(ID);
});

it("takes the stream from nobody when it was left before its conversation was made", async () => {
  const opened: string[] = [];
  vi.stubGlobal("EventSource", class extends EventTarget { close = vi.fn(); constructor(url: string) { super(); opened.push(url); } });
  answers = [{ status: 201, body: SNAPSHOT }];
  const left = start(NEW);
  left.send("one");
  left.close();
  start(OTHER);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(kept()).toEqual([["one", "sent", ID]]);
  expect(opened.filter((url) => url.includes(ID))).toEqual([]);
});

it("names the account whose conversation it makes, and holds the message when that is not who asks", async () => {
  answers = [{ status: 401 }];
  Object.assign(outbox, { owner: "ada", signedOut: () => Promise.resolve(true) });
  const chat = start(NEW);
  chat.send("one");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked.map(({ body }) => body)).toEqual([{ id: ID, account: "ada" }]);
  expect(states(chat)).toEqual([["one", "sending"]]);
});
