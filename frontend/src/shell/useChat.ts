import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { Session, Who } from "../account/useSession";
import { Chat } from "../chat/chat";
import { resync } from "../chat/line";
import { isNew, outbox } from "../chat/outbox";
import { load } from "../storage";
import type { Conversations } from "./useConversations";

// Whatever stands there; the server knows what is none.
const idInAddress = () => /^\/c\/([^/]+)/.exec(location.pathname)?.[1] ?? null;
const addressOf = (id: string | null) => (id ? `/c/${id}` : "/");

/** The conversation that the address names, or the newest one that has not begun yet. */
const inAddress = () => new Chat(idInAddress() ?? outbox.mine().findLast(({ chat }) => isNew(chat))?.chat);

/** The conversation that the address names. */
export function useChat({ who, signedOut }: Session, conversations: Conversations, onProblem: (detail: string) => void) {
  const [chat, setChat] = useState(inAddress);
  const shown = useRef(chat);
  const { touch, removing, undo } = conversations;
  // Until the server has told who this is, it is who it was.
  const owner = "name" in who ? who.name : who.is === "unknown" ? load<string>("account", "") : "";
  useEffect(() => {
    Object.assign(outbox, { owner, ready: owner !== "" || who.is !== "unknown", signedOut, onSent: touch });
    void outbox.post();
  }, [owner, who, signedOut, touch]);
  useEffect(() => {
    shown.current = chat;
    chat.open({ onCreated: (id) => history.pushState(null, "", addressOf(id)), onProblem });
    return () => chat.close();
  }, [chat, onProblem]);
  useEffect(() => {
    const travel = () => setChat((current) => (current.id === idInAddress() ? current : inAddress()));
    window.addEventListener("popstate", travel);
    return () => window.removeEventListener("popstate", travel);
  }, []);
  useEffect(() => {
    // Who comes back to a conversation wants it.
    if (removing && chat.id === removing) undo();
  }, [chat, removing, undo]);

  /** Show a conversation, or a new chat. */
  const open = useCallback((id: string | null) => {
    if (id && id === shown.current.id) return;
    if (addressOf(id) !== location.pathname) history.pushState(null, "", addressOf(id));
    setChat(new Chat(id ?? undefined));
  }, []);
  useFollowing(who, open);

  const state = useSyncExternalStore(chat.subscribe, chat.current);
  return useMemo(() => ({ chat, state, open }), [chat, state, open]);
}

/** After a login go on where things stood; when somebody leaves, so does what they read. */
function useFollowing(who: Who, open: (id: string | null) => void): void {
  const before = useRef(who);
  useEffect(() => {
    const was = before.current;
    before.current = who;
    if (was === who || was.is === "unknown") return;
    const left = "name" in was && !("name" in who && who.name === was.name);
    if (left) open(null);
    // What was a guest's is the account's now, and its stream has ended.
    else if (who.is === "account") resync();
  }, [who, open]);
}
