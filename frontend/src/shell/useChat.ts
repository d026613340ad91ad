import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { Session } from "../account/useSession";
import { Chat, type ChatState } from "../chat/chat";
import { resync } from "../chat/line";
import type { Conversations } from "./useConversations";

// Whatever stands there; the server knows what is none.
const idInAddress = () => /^\/c\/([^/]+)/.exec(location.pathname)?.[1] ?? null;
const addressOf = (id: string | null) => (id ? `/c/${id}` : "/");

export interface OpenChat {
  chat: Chat;
  state: ChatState;
  /** Show a conversation, or a new chat. */
  open: (id: string | null) => void;
}

/** The conversation that the address names. */
export function useChat(session: Session, conversations: Conversations, onProblem: (detail: string) => void): OpenChat {
  const [chat, setChat] = useState(() => Chat.of(idInAddress()));
  const shown = useRef(chat);
  useEffect(() => {
    chat.surround({
      onCreated: (id) => {
        if (shown.current === chat) history.pushState(null, "", addressOf(id));
      },
      account: "name" in session.who ? session.who.name : null,
      onSent: conversations.touch,
      signedOut: session.signedOut,
      onProblem,
    });
    // Of a new chat there is no stream whose reset would post what waits: after a reload, or after a login.
    if (!chat.id) void chat.post();
  }, [chat, conversations, session, onProblem]);

  useEffect(() => {
    shown.current = chat;
    chat.open();
    return () => chat.close();
  }, [chat]);
  useEffect(() => {
    const travel = () => setChat((current) => (current.id === idInAddress() ? current : Chat.of(idInAddress())));
    window.addEventListener("popstate", travel);
    return () => window.removeEventListener("popstate", travel);
  }, []);

  const open = useCallback((id: string | null) => {
    if (id && id === shown.current.id) return;
    if (addressOf(id) !== location.pathname) history.pushState(null, "", addressOf(id));
    setChat(Chat.of(id));
  }, []);
  useFollowing(session, open);

  const state = useSyncExternalStore(chat.subscribe, chat.current);
  return useMemo(() => ({ chat, state, open }), [chat, state, open]);
}

/** After a login go on where things stood; when somebody leaves, so does what they read. */
function useFollowing({ who }: Session, open: (id: string | null) => void): void {
  const before = useRef(who);
  useEffect(() => {
    const was = before.current;
    before.current = who;
    if (was === who || was.is === "unknown") return;
    const left = "name" in was && !("name" in who && who.name === was.name);
    if (left) {
      Chat.dropHeld();
      open(null);
    } else if (who.is === "account") {
      // What was a guest's is the account's now, and its stream has ended.
      resync();
      Chat.sendHeld();
    }
  }, [who, open]);
}
