import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Chat, type ChatState } from "../src/chat/chat";
import { ThreadView } from "../src/chat/ThreadView";
import { empty, type Thread } from "../src/chat/thread";
import type { Message } from "../src/types";

const question: Message = { id: "q", role: "human", text: "Count", at: "2026-01-01T00:00:00Z" };
const turn = { message_id: "q", reply_id: "r", attempt: 1, text: "```js\nlet a = 1" };
const answer: Message = { id: "r", role: "bot", text: `${turn.text}\n\`\`\``, at: question.at, reply_to: "q", status: "completed" };

beforeEach(() => {
  vi.stubGlobal("ResizeObserver", class { observe = vi.fn(); disconnect = vi.fn(); });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const view = (change: Partial<Thread>) => {
  const thread: Thread = { ...empty("c"), state: "live", messages: [question], ...change };
  const state: ChatState = { thread, link: "open", stopping: false, held: null };
  return <ThreadView chat={new Chat(null)} state={state} onEdit={vi.fn()} />;
};

it("keeps the elements of a reply when it ends, with the focus and what is selected", async () => {
  const { container, rerender } = render(view({ turn }));
  const block = await vi.waitUntil(() => container.querySelector("pre"));
  block.focus();
  rerender(view({ messages: [question, answer] }));
  expect(document.activeElement).toBe(block);
});

it("offers to answer again only where that is possible", () => {
  const { rerender } = render(view({ messages: [question, answer] }));
  expect(screen.getByRole("button", { name: "Answer again" })).toBeTruthy();
  rerender(view({ messages: [question, answer], state: "gone" }));
  expect(screen.queryByRole("button", { name: "Answer again" })).toBeNull();
});
