import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useSession } from "../src/account/useSession";

let account: string | null;
let reachable: boolean;

beforeEach(() => {
  localStorage.clear();
  [account, reachable] = [null, true];
  vi.stubGlobal("BroadcastChannel", class { close = vi.fn(); postMessage = vi.fn(); });
  vi.stubGlobal("fetch", () =>
    reachable ? Promise.resolve({ ok: true, status: 200, json: () => Promise.resolve({ account, limits: {} }) }) : Promise.reject(new TypeError()));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

async function start() {
  const { result } = renderHook(useSession);
  await act(() => Promise.resolve());
  return result;
}

it("goes by the server, whatever the browser has noted", async () => {
  account = "Ada";
  expect((await start()).current.who).toEqual({ is: "account", name: "Ada" });
  expect(localStorage.getItem("parley.account")).toBe('"Ada"');
});

it("knows by its note that a session has ended", async () => {
  expect((await start()).current.who).toEqual({ is: "guest" });
  cleanup();
  localStorage.setItem("parley.account", '"Ada"');
  expect((await start()).current.who).toEqual({ is: "ended", name: "Ada" });
});

it("takes people for who they were while the server is away", async () => {
  reachable = false;
  localStorage.setItem("parley.account", '"Ada"');
  const session = await start();
  expect(session.current.who).toEqual({ is: "account", name: "Ada" });
  reachable = true;
  let ended: boolean | undefined;
  await act(async () => {
    ended = await session.current.signedOut();
  });
  expect(ended).toBe(true);
  expect(session.current.who).toEqual({ is: "ended", name: "Ada" });
});
