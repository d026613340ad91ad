import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Who } from "../src/account/useSession";
import { known, noteReading, remember } from "../src/shell/guests";
import { useConversations } from "../src/shell/useConversations";
import type { Listed } from "../src/types";

const ADA: Who = { is: "account", name: "Ada" };
const onProblem = vi.fn();
let asked: string[];
let answer: (address: string) => { conversations: Listed[]; next: string | null };

beforeEach(() => {
  localStorage.clear();
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

const GUEST: Who = { is: "guest" };
const listed = (id: number): Listed => ({ id: `${id}`, title: `Title ${id}`, last_at: "2026-01-01T00:00:00Z" });
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const start = (who: Who = ADA) => renderHook(() => useConversations(who, 3600, onProblem)).result;

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

it("knows a guest's conversation for an hour after it was last read, and takes along what is older", async () => {
  for (const id of ["1", "2"]) remember(id, `Title ${id}`);
  const end = noteReading("1", 3600);
  await pass(4_000_000);
  const list = start(GUEST);
  await pass(0);
  expect(list.current.list.map(({ id }) => id)).toEqual(["1"]);
  end();
  await pass(4_000_000);
  const later = start(GUEST);
  await pass(0);
  expect(later.current.list).toEqual([]);
  expect(known().map(({ id }) => id).sort()).toEqual(["1", "2"]);
});

it("shows the next person neither what was looked for nor what was found", async () => {
  answer = () => ({ conversations: [listed(1)], next: null });
  const { result, rerender } = renderHook(({ who }) => useConversations(who, 3600, onProblem), { initialProps: { who: ADA as Who } });
  act(() => result.current.search("my illness"));
  await pass(1000);
  expect(result.current.list).toHaveLength(1);
  rerender({ who: GUEST });
  expect(result.current.query).toBe("");
  expect(result.current.list).toEqual([]);
});
