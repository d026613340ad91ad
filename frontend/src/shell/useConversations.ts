import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, asProblem } from "../api";
import type { Who } from "../account/useSession";
import { load, save } from "../storage";
import type { Listed, Snapshot } from "../types";

const PAGE = 30;
const TYPING_MS = 200;
const UNDO_MS = 6000;
const TITLE_MAX_CHARS = 60;

export interface Conversations {
  list: Listed[];
  more: boolean;
  query: string;
  search: (query: string) => void;
  showMore: () => void;
  /** A message was sent: its conversation is the newest now, and may have got its title. */
  touch: (id: string, text: string) => void;
  rename: (id: string, title: string) => Promise<void>;
  /** Take it from the list; it is deleted when the time for `undo` is over, or the page is left. */
  remove: (id: string) => void;
  removing: string | null;
  undo: () => void;
  /** A guest's conversation has expired. */
  drop: (id: string) => void;
}

const guests = (): Listed[] => load<Listed[]>("guest", []);

/** The conversations of the account, or those that a guest's browser knows. */
export function useConversations(who: Who, ttl_s: number, onProblem: (detail: string) => void): Conversations {
  const isAccount = who.is === "account" || who.is === "ended";
  const source = isAccount ? fromServer : fromBrowser;
  const owner = isAccount ? who.name : "";
  const [query, search] = useState("");
  const [{ conversations, next }, setPage] = useState<Page>({ conversations: [], next: null });
  const asked = useRef(0);

  const reload = useCallback(async () => {
    const mine = ++asked.current;
    try {
      const page = await source(query, "", ttl_s);
      if (mine === asked.current) setPage(page);
    } catch (error) {
      if (asProblem(error).status !== 401) onProblem(asProblem(error).message);
    }
  }, [source, query, ttl_s, onProblem]);

  useEffect(() => {
    if (who.is === "unknown" || who.is === "ended") return;
    const timer = setTimeout(() => void reload(), query ? TYPING_MS : 0);
    return () => clearTimeout(timer);
  }, [reload, query, who.is, owner]);
  const news = useNews(reload);
  const { removing, remove, undo } = useRemoval((id) => {
    setPage((page) => ({ ...page, conversations: page.conversations.filter((one) => one.id !== id) }));
    if (!isAccount) forget(id);
    // The request outlives the page.
    api("DELETE", `/conversations/${id}`, undefined, true).catch((error: unknown) => {
      if (asProblem(error).status !== 404) onProblem(asProblem(error).message);
    }).finally(news);
  });

  return useMemo(() => {
    const showMore = async () => {
      const page = await source(query, next ?? "", ttl_s);
      setPage({ conversations: [...conversations, ...page.conversations], next: page.next });
    };
    return {
      list: conversations.filter(({ id }) => id !== removing),
      more: next !== null, query, search, showMore: () => void showMore(), remove, removing, undo,
      touch: (id, text) => {
        if (!isAccount) remember(id, text);
        news();
      },
      rename: async (id, title) => {
        setPage({ conversations: conversations.map((one) => (one.id === id ? { ...one, title } : one)), next });
        try {
          await api<Snapshot>("PATCH", `/conversations/${id}`, { title });
          if (!isAccount) save("guest", guests().map((one) => (one.id === id ? { ...one, title } : one)));
        } catch (error) {
          onProblem(asProblem(error).message);
        }
        news();
      },
      drop: (id) => {
        if (guests().some((one) => one.id === id)) {
          forget(id);
          news();
        }
      },
    };
  }, [source, query, ttl_s, conversations, next, removing, remove, undo, isAccount, news, onProblem]);
}

interface Page {
  conversations: Listed[];
  next: string | null;
}

function fromServer(query: string, before: string): Promise<Page> {
  const parameters = new URLSearchParams({ limit: `${PAGE}`, ...(query && { q: query }), ...(before && { before }) });
  return api<Page>("GET", `/conversations?${parameters.toString()}`);
}

function fromBrowser(query: string, _before: string, ttl_s: number): Promise<Page> {
  const living = guests().filter(({ last_at }) => Date.now() - Date.parse(last_at) < ttl_s * 1000);
  save("guest", living);
  const sought = query.toLowerCase();
  const conversations = living.filter(({ title }) => (title ?? "").toLowerCase().includes(sought));
  return Promise.resolve({ conversations, next: null });
}

/** Note a guest's conversation as the newest, under a title like the one the server makes. */
function remember(id: string, text: string): void {
  const [known] = guests().filter((one) => one.id === id);
  const line = text.replace(/\s+/g, " ").trim();
  const title = known?.title ?? (line.length > TITLE_MAX_CHARS ? `${line.slice(0, TITLE_MAX_CHARS).replace(/ \S*$/, "")} …` : line);
  save("guest", [{ id, title, last_at: new Date().toISOString() }, ...guests().filter((one) => one.id !== id)]);
}

const forget = (id: string) => save("guest", guests().filter((one) => one.id !== id));

/** Tell the other tabs that the list has changed, and hear it from them. */
function useNews(reload: () => Promise<void>): () => void {
  const channel = useRef<BroadcastChannel | null>(null);
  const latest = useRef(reload);
  useEffect(() => {
    latest.current = reload;
  }, [reload]);
  useEffect(() => {
    channel.current = new BroadcastChannel("parley.list");
    channel.current.onmessage = () => void latest.current();
    return () => channel.current?.close();
  }, []);
  return useCallback(() => {
    channel.current?.postMessage("changed");
    void latest.current();
  }, []);
}

/** One deletion at a time can be undone; the next one, or leaving the page, makes it final. */
function useRemoval(commit: (id: string) => void) {
  const [removing, setRemoving] = useState<string | null>(null);
  const waiting = useRef<{ id: string; timer: number } | null>(null);
  const latest = useRef(commit);
  useEffect(() => {
    latest.current = commit;
  }, [commit]);

  const settle = useCallback((deletes: boolean) => {
    const found = waiting.current;
    if (!found) return;
    waiting.current = null;
    clearTimeout(found.timer);
    setRemoving(null);
    if (deletes) latest.current(found.id);
  }, []);
  const remove = useCallback((id: string) => {
    settle(true);
    waiting.current = { id, timer: window.setTimeout(() => settle(true), UNDO_MS) };
    setRemoving(id);
  }, [settle]);
  const undo = useCallback(() => settle(false), [settle]);

  useEffect(() => {
    const finish = () => settle(true);
    window.addEventListener("pagehide", finish);
    return () => window.removeEventListener("pagehide", finish);
  }, [settle]);
  return { removing, remove, undo };
}
