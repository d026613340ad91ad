import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Chat, type Surroundings } from "../src/chat/chat";
import * as line from "../src/chat/line";

const ID = "00000000-0000-4000-8000-000000000001";
const OTHER = "00000000-0000-4000-8000-000000000002";
const SNAPSHOT = { id: ID, title: null, messages: [], total: 0, pending: [], turn: null, position: "e-0" };

type Answer = { status?: number; body?: object } | "unreachable";
let asked: { path: string; body: { id: string; text: string } }[];
let answers: Answer[];

beforeEach(() => {
  sessionStorage.clear();
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
  Chat.dropHeld();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function start(id: string | null = ID, more: Partial<Surroundings> = {}): Chat {
  const around = { onCreated: vi.fn(), account: null, onSent: vi.fn(), signedOut: () => Promise.resolve(false), onProblem: vi.fn(), ...more };
  const chat = new Chat(id);
  chat.surround(around);
  return chat;
}
const states = (chat: Chat) => chat.current().thread.outbox.map(({ text, state }) => [text, state]);
const paths = () => asked.map(({ path }) => path);

it("makes the conversation with the first message, and sends the next ones in order", async () => {
  answers = [{ status: 201, body: SNAPSHOT }];
  const onCreated = vi.fn();
  const chat = start(null, { onCreated });
  chat.send("one");
  chat.send("two");
  expect(states(chat)).toEqual([["one", "sending"], ["two", "sending"]]);
  await vi.runAllTimersAsync();
  expect(onCreated).toHaveBeenCalledExactlyOnceWith(ID);
  expect(paths()).toEqual(["/api/conversations", `/api/conversations/${ID}/messages`, `/api/conversations/${ID}/messages`]);
  expect(states(chat)).toEqual([["one", "sent"], ["two", "sent"]]);
});

it("sends again under the same id while nobody answers", async () => {
  answers = ["unreachable", { status: 503 }];
  const chat = start();
  chat.send("one");
  await vi.runAllTimersAsync();
  expect(asked).toHaveLength(3);
  expect(new Set(asked.map(({ body }) => body.id)).size).toBe(1);
  expect(states(chat)).toEqual([["one", "sent"]]);
});

it("holds a message while the network is away, says so, and sends it when that is back", async () => {
  answers = Array.from({ length: 20 }, (): Answer => "unreachable");
  const chat = start();
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
  answers = Array.from({ length: 20 }, (): Answer => ({ status: 503 }));
  const chat = start();
  chat.open();
  chat.send("one");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(chat.current().held).toBe("network");
  answers = [];
  sources.at(-1)?.onopen?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(states(chat)).toEqual([["one", "sent"]]);
  chat.close();
});

it("goes on trying while another chat is shown, and is the one that is found again", async () => {
  answers = Array.from({ length: 20 }, (): Answer => "unreachable");
  const chat = start(null);
  chat.open();
  chat.send("one");
  await vi.advanceTimersByTimeAsync(0);
  chat.close();
  expect(Chat.of(null)).toBe(chat);
  expect(Chat.of(OTHER)).not.toBe(chat);
  answers = [{ status: 201, body: SNAPSHOT }];
  await vi.advanceTimersByTimeAsync(15_000);
  expect(states(chat)).toEqual([["one", "sent"]]);
  expect(Chat.of(null)).not.toBe(chat);
});

it("sends nothing more for somebody who has left", async () => {
  answers = ["unreachable"];
  start().send("one");
  await vi.advanceTimersByTimeAsync(0);
  Chat.dropHeld();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
});

it("wakes the stream when that says nothing of a message that was taken in", async () => {
  const wake = vi.spyOn(line, "wake");
  const chat = start();
  chat.open();
  chat.send("one");
  await vi.advanceTimersByTimeAsync(4000);
  expect(wake).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1000);
  expect(wake).toHaveBeenCalledExactlyOnceWith(true);
  chat.close();
});

it("says why a message was refused, and goes on with the next one", async () => {
  answers = [{ status: 422, body: { code: "invalid", detail: "No.", fields: { text: ["Too odd."] } } }];
  const chat = start();
  chat.send("one");
  chat.send("two");
  await vi.runAllTimersAsync();
  expect(states(chat)).toEqual([["one", "failed"], ["two", "sent"]]);
  expect(chat.current().thread.outbox[0]?.problem).toBe("Too odd.");
});

it("holds messages back while the session is over", async () => {
  answers = [{ status: 404 }];
  let over = true;
  const chat = start(ID, { signedOut: () => Promise.resolve(over) });
  chat.send("one");
  await vi.runAllTimersAsync();
  expect(states(chat)).toEqual([["one", "sending"]]);
  expect(chat.current().held).toBe("login");
  over = false;
  await chat.post();
  expect(states(chat)).toEqual([["one", "sent"]]);
});

it("remembers through a reload what was not yet sent", async () => {
  answers = ["unreachable"];
  start().send("one");
  expect(states(start())).toEqual([["one", "sending"]]);
  await vi.advanceTimersByTimeAsync(0);
});

it("remembers through a reload also what a new chat was about to send, for one chat at a time", async () => {
  answers = [{ status: 422, body: { detail: "No." } }];
  const chat = start(null);
  chat.send("one");
  expect(states(start(null))).toEqual([]);
  await vi.runAllTimersAsync();
  const again = start(null);
  expect(states(again)).toEqual([["one", "failed"]]);
  answers = [{ status: 201, body: SNAPSHOT }];
  again.resend(again.current().thread.outbox[0]?.id ?? "");
  await vi.runAllTimersAsync();
  expect(states(start(null))).toEqual([]);
  expect(states(start(ID))).toEqual([["one", "sent"]]);
});

it("takes the stream from nobody when it was left before its conversation was made", async () => {
  const opened: string[] = [];
  vi.stubGlobal("EventSource", class extends EventTarget { close = vi.fn(); constructor(url: string) { super(); opened.push(url); } });
  answers = [{ status: 201, body: SNAPSHOT }];
  const left = start(null), shown = start(OTHER);
  left.open();
  left.send("one");
  left.close();
  shown.open();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(states(left)).toEqual([["one", "sent"]]);
  expect(opened.filter((url) => url.includes(ID))).toEqual([]);
  shown.close();
});

it("names the account whose conversation it makes, and holds the message when that is not who asks", async () => {
  answers = [{ status: 401 }];
  const chat = start(null, { account: "ada", signedOut: () => Promise.resolve(true) });
  chat.send("one");
  await vi.runAllTimersAsync();
  expect(asked.map(({ body }) => body)).toEqual([{ account: "ada" }]);
  expect(states(chat)).toEqual([["one", "sending"]]);
});
