import { Menu as MenuIcon, PanelLeftOpen } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { AccountMenu, type Wanted } from "./account/AccountMenu";
import { Settings } from "./account/Settings";
import { SignIn } from "./account/SignIn";
import { useSession, type Session } from "./account/useSession";
import type { Chat } from "./chat/chat";
import { ChatView } from "./chat/ChatView";
import { Button } from "./shell/Button";
import { Drawer } from "./shell/Dialog";
import { ConnectionState, DemoBanner, Toast, type Connection } from "./shell/Parts";
import { noteReading } from "./shell/guests";
import { Sidebar } from "./shell/Sidebar";
import { useChat } from "./shell/useChat";
import { useConversations } from "./shell/useConversations";
import { useMedia, useOnline } from "./shell/useMedia";
import { load, save } from "./storage";
import { say, t } from "./texts";

const NOTE_MS = 6000;

/** The whole page. */
export function App() {
  const [note, tell] = useNote();
  const session = useSession();
  const { who, config } = session;
  const { chat_ttl_s } = config.limits;
  const conversations = useConversations(who, chat_ttl_s, tell);
  const { chat, state, open } = useChat(session, conversations, tell);
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const [undoTo, setUndoTo] = useState<string | null>(null);
  const wide = useMedia("(min-width: 48rem)");
  const [side, setSide] = useState(() => !load("side_hidden", false));
  // It belongs to what was shown when it was opened, so that going back closes it.
  const [drawer, setDrawer] = useState<Chat | null>(null);
  const connection = useConnection(chat.id ? state.link : state.held === "network" ? "broken" : null, who.is === "ended");
  const title = conversations.list.find(({ id }) => id === chat.id)?.title ?? state.thread.title;
  useEffect(() => {
    document.title = title ? `${title} · Parley` : "Parley";
  }, [title]);
  const { drop } = conversations;
  useEffect(() => {
    if (state.thread.state === "gone" && chat.id) drop(chat.id);
  }, [state.thread.state, chat, drop]);

  const isGuest = who.is === "guest", canSignUp = config.registration === "open";
  useEffect(() => (isGuest && chat.id ? noteReading(chat.id, chat_ttl_s) : undefined), [isGuest, chat.id, chat_ttl_s]);

  const showSide = (shown: boolean) => {
    if (!wide) { setDrawer(shown ? chat : null); return; }
    save("side_hidden", shown ? null : true);
    setSide(shown);
  };
  const goTo = (id: string | null) => {
    setDrawer(null);
    open(id);
  };
  const want = (dialog: Wanted) => {
    setDrawer(null);
    setWanted(dialog);
  };
  const remove = (id: string) => {
    // Undo lies beside it.
    setDrawer(null);
    conversations.remove(id);
    setUndoTo(id === chat.id ? id : null);
    if (id === chat.id) goTo(null);
  };
  const undo = () => {
    conversations.undo();
    if (undoTo && !chat.id) goTo(undoTo);
  };
  const startAnew = () => {
    chat.moveDraft();
    goTo(null);
  };
  const signOut = () => void session.leave("here").then(() => tell(t.signedOutNote), (error: unknown) => tell(say(error)));

  const sidebar = (
    <Sidebar
      conversations={conversations} current={chat.id} isGuest={isGuest} inDrawer={!wide}
      onOpen={goTo} onRemove={remove} onHide={() => showSide(false)}
      account={<AccountMenu who={who} open={canSignUp} onWant={want} onSignOut={signOut} />}
    />
  );
  return (
    <div className="flex h-full">
      {wide && side && <aside aria-label={t.menu} className="w-68 shrink-0 border-r border-line">{sidebar}</aside>}
      {!wide && drawer === chat && <Drawer onClose={() => setDrawer(null)}>{sidebar}</Drawer>}
      <main className="relative flex min-w-0 flex-1 flex-col">
        <header className="flex h-14 shrink-0 items-center gap-1 px-2 short:h-11">
          {!(wide && side) && (
            <Button kind="icon" label={t.openMenu} className="size-10!" onClick={() => showSide(true)}>
              {wide ? <PanelLeftOpen size={18} aria-hidden /> : <MenuIcon size={20} aria-hidden />}
            </Button>
          )}
          <h1 className="min-w-0 flex-1 truncate px-2 text-[0.9375rem] font-medium">{title ?? t.newChat}</h1>
          <ConnectionState connection={connection} />
          {(isGuest || who.is === "ended") && (
            <Button className="mx-1 h-9!" onClick={() => want(isGuest ? "login" : "again")}>{t.signIn}</Button>
          )}
        </header>
        {config.demo && <DemoBanner />}
        <Toast text={conversations.removing ? t.removed : note} onUndo={conversations.removing ? undo : undefined} onHold={conversations.hold} />
        <ChatView chat={chat} state={state} config={config} isGuest={isGuest} onGoOn={startAnew} />
      </main>
      <Dialogs session={session} wanted={wanted} onWant={setWanted} canSignUp={canSignUp} onNote={tell} />
    </div>
  );
}

interface DialogsProps {
  session: Session;
  wanted: Wanted | null;
  onWant: (dialog: Wanted | null) => void;
  canSignUp: boolean;
  onNote: (note: string) => void;
}

/** The dialog that somebody asked for, or, once after a session's end, the one that asks to sign in again. */
function Dialogs({ session, wanted, onWant, canSignUp, onNote }: DialogsProps) {
  const { who } = session;
  const [put, setPut] = useState<typeof who | null>(null);
  const shown = who.is === "ended" && put !== who ? "again" : wanted;
  const close = () => {
    onWant(null);
    setPut(who);
  };
  if (shown === null) return null;
  if (shown === "settings")
    return who.is === "account" && <Settings session={session} name={who.name} onDone={onNote} onClose={close} />;
  return (
    <SignIn
      key={shown} session={session} how={shown === "accounts" ? shown : "login"} canSignUp={canSignUp}
      onTurn={() => onWant(shown === "login" ? "accounts" : "login")} onClose={close}
    />
  );
}

/** A note that goes away by itself, and how to write one. */
function useNote(): [string, (text: string) => void] {
  const [note, setNote] = useState({ text: "" });
  useEffect(() => {
    const timer = note.text ? setTimeout(() => setNote({ text: "" }), NOTE_MS) : undefined;
    return () => clearTimeout(timer);
  }, [note]);
  return [note.text, useCallback((text: string) => setNote({ text }), [])];
}

/** How things stand; null while that is not known, or said elsewhere: by a conversation that is gone. */
function useConnection(link: Connection | null, ended: boolean): Connection | null {
  if (!useOnline()) return "offline";
  return ended ? "signedOut" : link === "missing" ? null : link;
}
