import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Who } from "../src/account/useSession";
import { useConversations } from "../src/shell/useConversations";
import type { Listed } from "../src/types";

const ADA: Who = { is: "account", name: "Ada" };
const onProblem = vi.fn();
let asked: string[];
let answer: (address: string) => { conversations: Listed[]; next: string | null };

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("BroadcastChannel", class { close = vi.fn(); postMessage = vi.fn(); });
  asked = [];
  vi.stubGlobal("fetch", async (address: string) => {
    asked.push(address);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { ok: true, status: 200, json: () => Promise.resolve(answer(address)) };
  });
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const listed = (id: number): Listed => ({ id: `${id}`, title: `Title ${id}`, last_at: "2026-01-01T00:00:00Z" });
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const start = () => renderHook(() => useConversations(ADA, 3600, onProblem)).result;

it("looks no further than five pages at a time, and goes on from there when asked to", async () => {
  answer = (address) => ({ conversations: [], next: `${Number(/before=(\d+)/.exec(address)?.[1] ?? 0) + 1}` });
  const list = start();
  await pass(1000);
  asked = [];
  act(() => list.current.search("plums"));
  await pass(6000);
  expect(asked).toHaveLength(5);
  expect(list.current.more).toBe(true);
  act(() => list.current.showMore());
  await pass(6000);
  expect(asked).toHaveLength(10);
  expect(asked[5]).toContain("before=5");
});

it("stops looking for what was typed before", async () => {
  answer = () => ({ conversations: [], next: "1" });
  const list = start();
  await pass(1000);
  asked = [];
  act(() => list.current.search("pl"));
  await pass(350);
  act(() => list.current.search("plums"));
  await pass(6000);
  expect(asked.filter((address) => /q=pl(&|$)/.test(address))).toHaveLength(2);
  expect(asked.filter((address) => address.includes("q=plums"))).toHaveLength(5);
});

it("appends what comes further down, and keeps it when the list is read anew", async () => {
  const from = (first: number) => Array.from({ length: 100 }, (_, n) => listed(first + n));
  answer = (address) => (address.includes("before") ? { conversations: from(100), next: null } : { conversations: from(0), next: "100" });
  const list = start();
  await pass(500);
  expect(list.current.list).toHaveLength(100);
  act(() => list.current.showMore());
  await pass(500);
  expect(list.current.list.map(({ id }) => id)).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`));
  expect(list.current.more).toBe(false);
  act(() => list.current.touch("5", "Hi"));
  await pass(500);
  expect(list.current.list).toHaveLength(200);
});

it("gives more time for undoing while somebody is about to", async () => {
  answer = () => ({ conversations: [listed(1)], next: null });
  const list = start();
  await pass(500);
  act(() => list.current.remove("1"));
  await pass(5000);
  act(() => list.current.hold(true));
  await pass(60_000);
  expect(list.current.removing).toBe("1");
  act(() => list.current.hold(false));
  await pass(5000);
  act(() => list.current.undo());
  expect(list.current.list).toHaveLength(1);
  act(() => list.current.remove("1"));
  await pass(6000);
  expect(list.current.removing).toBeNull();
  expect(list.current.list).toEqual([]);
});
