import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { createRef } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Composer, type ComposerHandle } from "../src/chat/Composer";

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function start(more: Partial<Parameters<typeof Composer>[0]> = {}) {
  const onSend = vi.fn(), onStop = vi.fn();
  const view = render(<Composer name="c" max={20} running={false} stopping={false} onSend={onSend} onStop={onStop} ref={null} {...more} />);
  return { ...view, onSend, onStop, box: screen.getByLabelText<HTMLTextAreaElement>("Message") };
}

it("sends with Enter, and breaks the line with Shift+Enter", async () => {
  const { box, onSend } = start();
  await userEvent.type(box, "one{Shift>}{Enter}{/Shift}two{Enter}");
  expect(onSend).toHaveBeenCalledExactlyOnceWith("one\ntwo");
  expect(box.value).toBe("");
});

it("leaves Enter to an input method that is composing", () => {
  const { box, onSend } = start();
  fireEvent.change(box, { target: { value: "안녕" } });
  fireEvent.keyDown(box, { key: "Enter", isComposing: true });
  fireEvent.keyDown(box, { key: "Enter", keyCode: 229 });
  expect(onSend).not.toHaveBeenCalled();
  fireEvent.keyDown(box, { key: "Enter" });
  expect(onSend).toHaveBeenCalledExactlyOnceWith("안녕");
});

it("keeps a draft for each conversation", async () => {
  const { box, unmount } = start();
  await userEvent.type(box, "half a");
  unmount();
  expect(start({ name: "d" }).box.value).toBe("");
  cleanup();
  expect(start().box.value).toBe("half a");
});

it("takes the draft along when the first message has made the conversation", async () => {
  const { box, rerender } = start({ name: "new" });
  await userEvent.type(box, "next");
  rerender(<Composer name="c" max={20} running={false} stopping={false} onSend={vi.fn()} onStop={vi.fn()} ref={null} />);
  cleanup();
  expect(start({ name: "new" }).box.value).toBe("");
  cleanup();
  expect(start().box.value).toBe("next");
});

it("counts characters near the limit as the server does, and sends none too many", () => {
  const { box, onSend } = start();
  fireEvent.change(box, { target: { value: "😀".repeat(19) } });
  expect(screen.getByText("1 left")).toBeTruthy();
  fireEvent.change(box, { target: { value: "😀".repeat(21) } });
  expect(screen.getByText("1 too many")).toBeTruthy();
  fireEvent.keyDown(box, { key: "Enter" });
  expect(onSend).not.toHaveBeenCalled();
});

it("tells a screen reader at a few marks how much is left, not at each key", () => {
  const { box } = start({ max: 1000 });
  const told = (length: number) => {
    fireEvent.change(box, { target: { value: "x".repeat(length) } });
    return screen.getByRole("status").textContent;
  };
  expect(told(900)).toBe("");
  const near = told(901);
  expect(near).toBe("Fewer than 100 characters are left");
  expect(told(950)).toBe(near);
  expect(told(981)).toBe("Fewer than 20 characters are left");
  expect(told(1001)).toBe("The message is too long");
  expect(told(1002)).toBe("The message is too long");
});

it("offers Stop while a reply runs, and Send beside it once there is text", async () => {
  const { box, onStop } = start({ running: true });
  expect(screen.queryByRole("button", { name: "Send" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Stop" }));
  expect(onStop).toHaveBeenCalledOnce();
  await userEvent.type(box, "and");
  expect(screen.getByRole("button", { name: "Send" })).toBeTruthy();
});

it("leaves alone what another tab has written, and keeps its own", async () => {
  const { box } = start();
  await userEvent.type(box, "mine");
  localStorage.setItem("parley.draft.c", '"theirs"');
  window.dispatchEvent(new Event("pagehide"));
  expect(localStorage.getItem("parley.draft.c")).toBe(JSON.stringify("theirs\n\nmine"));
  await userEvent.type(box, "{Enter}");
  expect(localStorage.getItem("parley.draft.c")).toBe(JSON.stringify("theirs\n\nmine"));
});

it("keeps the indentation of code", () => {
  const { box, onSend } = start({ max: 9 });
  fireEvent.change(box, { target: { value: "\n    x = 1  \n" } });
  fireEvent.keyDown(box, { key: "Enter" });
  expect(onSend).toHaveBeenCalledExactlyOnceWith("    x = 1");
});

it("puts a text that is offered before what is there", async () => {
  const ref = createRef<ComposerHandle>();
  const { box } = start({ ref });
  await userEvent.type(box, "typed");
  act(() => void ref.current?.offer("back"));
  expect(box.value).toBe("back\n\ntyped");
});
