import { Menu as MenuIcon, PanelLeftOpen } from "lucide-react";
import { useCallback, useEffect, useRef, useState } from "react";
import { AccountMenu, type Wanted } from "./account/AccountMenu";
import { Settings } from "./account/Settings";
import { SignIn } from "./account/SignIn";
import { useSession } from "./account/useSession";
import { api, asProblem } from "./api";
import { Composer, type ComposerHandle } from "./chat/Composer";
import { ThreadView } from "./chat/ThreadView";
import { unheard, type Thread } from "./chat/thread";
import { Button } from "./shell/Button";
import { Drawer } from "./shell/Drawer";
import { ConnectionState, DemoBanner, Examples, Hello, Toast, type Connection } from "./shell/Parts";
import { Sidebar } from "./shell/Sidebar";
import { useChat } from "./shell/useChat";
import { useConversations } from "./shell/useConversations";
import { useMedia, useOnline } from "./shell/useMedia";
import { load, save } from "./storage";
import { t } from "./texts";
import type { Config } from "./types";

const NOTE_MS = 6000;
const ASSUMED: Config = {
  version: "", model: "", demo: false, limits: { message_max_chars: 4000, pending_max: 16, chat_ttl_s: 3600 }, registration: "closed",
};

/** The whole page. */
export function App() {
  const config = useConfig();
  const [note, tell] = useNote();
  const session = useSession();
  const { who } = session;
  const conversations = useConversations(who, config.limits.chat_ttl_s, tell);
  const { chat, state, open } = useChat(session, conversations, tell);
  const { thread } = state;
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const [put, setPut] = useState<typeof who | null>(null);
  const [undoTo, setUndoTo] = useState<string | null>(null);
  const composer = useRef<ComposerHandle>(null);
  const wide = useMedia("(min-width: 48rem)");
  const [side, setSide] = useSide();
  const [drawer, setDrawer] = useState(false);
  const connection = useConnection(chat.id, state.link, who.is === "ended");

  const isEmpty = !thread.messages.length && !thread.turn && !thread.pending.length && !unheard(thread).length;
  const title = conversations.list.find(({ id }) => id === chat.id)?.title ?? thread.title;
  useEffect(() => {
    document.title = title ? `${title} · Parley` : "Parley";
  }, [title]);
  const { drop } = conversations;
  useEffect(() => {
    if (thread.state === "gone" && thread.id) drop(thread.id);
  }, [thread.state, thread.id, drop]);

  const goTo = (id: string | null) => {
    setDrawer(false);
    open(id);
  };
  const startAnew = () => {
    save("draft.new", load<string>(`draft.${chat.id ?? ""}`, ""));
    goTo(null);
  };
  const remove = (id: string) => {
    conversations.remove(id);
    setUndoTo(id === chat.id ? id : null);
    if (id === chat.id) goTo(null);
  };
  const undo = () => {
    conversations.undo();
    if (undoTo) goTo(undoTo);
  };
  const signOut = () => void session.leave("here").catch((error: unknown) => tell(asProblem(error).message));
  const want = (dialog: Wanted) => {
    setDrawer(false);
    setWanted(dialog);
  };
  const canSignUp = config.registration === "open";

  const sidebar = (
    <Sidebar conversations={conversations} current={chat.id} isGuest={who.is === "guest"} onOpen={goTo} onRemove={remove}
      inDrawer={!wide} onHide={() => (wide ? setSide(false) : setDrawer(false))}
      account={<AccountMenu who={who} open={canSignUp} onWant={want} onSignOut={signOut} />} />
  );
  const dialog = who.is === "ended" && put !== who ? "again" : wanted;
  const closeDialog = () => {
    setWanted(null);
    setPut(who);
  };
  return (
    <div className="flex h-full">
      {wide && side && <aside aria-label={t.menu} className="w-68 shrink-0 border-r border-line">{sidebar}</aside>}
      {!wide && drawer && <Drawer onClose={() => setDrawer(false)}>{sidebar}</Drawer>}
      <main className="relative flex min-w-0 flex-1 flex-col">
        <header className="flex h-14 shrink-0 items-center gap-1 px-2">
          {(!wide || !side) && (
            <Button kind="icon" label={t.openMenu} className="size-10!" onClick={() => (wide ? setSide(true) : setDrawer(true))}>
              {wide ? <PanelLeftOpen size={18} aria-hidden /> : <MenuIcon size={20} aria-hidden />}
            </Button>
          )}
          <h1 className="min-w-0 flex-1 truncate px-2 text-[0.9375rem] font-medium">{title ?? t.newChat}</h1>
          <ConnectionState connection={connection} />
          {who.is === "guest" && <Button className="mx-1 h-9!" onClick={() => want("login")}>{t.signIn}</Button>}
        </header>
        {config.demo && <DemoBanner />}
        {isEmpty && thread.state !== "loading" ? thread.state === "live" && <Hello /> : <ThreadView key={chat.key} chat={chat} state={state} onEdit={(text) => composer.current?.offer(text)} />}
        {thread.state === "gone" ? (
          <Gone text={who.is === "guest" ? t.gone : t.goneAccount} onGoOn={startAnew} />
        ) : (
          <Composer key={`composer-${chat.key}`} ref={composer} name={chat.id ?? "new"} max={config.limits.message_max_chars}
            running={thread.turn !== null} stopping={state.stopping} onSend={(text) => chat.send(text)} onStop={() => void chat.stop()} />
        )}
        {isEmpty && thread.state === "live" && <Examples texts={config.demo ? t.demoExamples : t.examples} onPick={(text) => chat.send(text)} />}
        {conversations.removing ? (
          <Toast text={t.removed} action={{ label: t.undo, act: undo }} />
        ) : (
          note && <Toast text={note} />
        )}
      </main>
      {(dialog === "login" || dialog === "accounts" || dialog === "again") && (
        <SignIn key={dialog} session={session} how={dialog === "accounts" ? "accounts" : "login"} canSignUp={canSignUp} onTurn={() => setWanted(dialog === "login" ? "accounts" : "login")} onClose={closeDialog} />
      )}
      {dialog === "settings" && who.is === "account" && <Settings session={session} name={who.name} onDone={tell} onClose={closeDialog} />}
    </div>
  );
}

function Gone({ text, onGoOn }: { text: string; onGoOn: () => void }) {
  return (
    <div role="alert" className="m-auto flex max-w-3xl flex-col items-center gap-3 px-6 text-center text-sm text-faint">
      <p>{text}</p>
      <Button kind="primary" onClick={onGoOn}>{t.goOn}</Button>
    </div>
  );
}

function useConfig(): Config {
  const [config, setConfig] = useState(ASSUMED);
  useEffect(() => {
    // Without an answer the page goes on with what it assumes; the connection state says what is wrong.
    api<Config>("GET", "/config").then(setConfig, () => undefined);
  }, []);
  return config;
}

function useNote(): [string, (text: string) => void] {
  const [note, setNote] = useState({ text: "" });
  useEffect(() => {
    const timer = note.text ? setTimeout(() => setNote({ text: "" }), NOTE_MS) : undefined;
    return () => clearTimeout(timer);
  }, [note]);
  return [note.text, useCallback((text: string) => setNote({ text }), [])];
}

function useSide(): [boolean, (shown: boolean) => void] {
  const [side, setSide] = useState(() => !load("side_hidden", false));
  return [side, (shown) => {
    save("side_hidden", shown ? null : true);
    setSide(shown);
  }];
}

function useConnection(id: Thread["id"], link: Connection, ended: boolean): Connection {
  const online = useOnline();
  if (!online) return "offline";
  if (ended) return "signedOut";
  return id && link !== "missing" ? link : "open";
}
