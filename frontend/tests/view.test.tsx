import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import userEvent from "@testing-library/user-event";
import { Chat, type ChatState } from "../src/chat/chat";
import { ChatView } from "../src/chat/ChatView";
import { ThreadView } from "../src/chat/ThreadView";
import { empty, type Thread } from "../src/chat/thread";
import type { Config, Message } from "../src/types";

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
  return <ThreadView chat={new Chat("c")} state={state} onEdit={vi.fn()} />;
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

it("gives the focus to where one writes when what had it goes away", async () => {
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
  const running: ChatState = { thread: { ...empty("c"), state: "live", messages: [question], turn }, link: "open", stopping: false, held: null };
  const config: Config = { demo: false, registration: "closed", account: null, limits: { message_max_chars: 9, chat_ttl_s: 9 } };
  const chat = new Chat("c"), stop = vi.spyOn(chat, "stop").mockResolvedValue();
  render(<ChatView chat={chat} state={running} config={config} isGuest onGoOn={vi.fn()} />);
  screen.getByRole("button", { name: "Stop" }).focus();
  await userEvent.keyboard("{Enter}");
  expect(stop).toHaveBeenCalledOnce();
  expect(document.activeElement).toBe(screen.getByLabelText("Message"));
});
