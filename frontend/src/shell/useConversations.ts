import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { api, asProblem } from "../api";
import { beforeLeaving, type Who } from "../account/useSession";
import { channel, save } from "../storage";
import { say } from "../texts";
import type { Listed } from "../types";
import { change, forget, known, living, remember } from "./guests";

const PAGE = 100;
const PAGES_MAX = 5;
const TYPING_MS = 200;
const UNDO_MS = 6000;

export type Conversations = ReturnType<typeof useConversations>;

/** The conversations of the account, or those that a guest's browser knows. */
export function useConversations(who: Who, ttl_s: number, onProblem: (detail: string) => void) {
  const isAccount = who.is === "account" || who.is === "ended";
  const owner = isAccount ? who.name : "";
  const [query, search] = useState("");
  const [page, setPage] = useState<Page>(NOTHING);
  const [listedFor, setListedFor] = useState(owner);
  if (listedFor !== owner) {
    // What one person looked for is not for the next one to see.
    setListedFor(owner);
    search("");
    setPage(NOTHING);
  }
  const { conversations, next } = page;
  const asked = useRef(0);
  const shown = useRef(0);

  const present = useRef(owner);
  useEffect(() => {
    present.current = owner;
    shown.current = conversations.length;
  }, [owner, conversations]);

  /** Read the list anew, as far as it is shown, or go on from where it ends. */
  const reload = useCallback(async (from: Page = NOTHING) => {
    if (who.is === "unknown") return;
    const mine = ++asked.current;
    const wanted = from.conversations.length + (query || from !== NOTHING ? PAGE : Math.max(shown.current, PAGE));
    try {
      const found = owner ? await fromServer(query, from, wanted, () => mine !== asked.current) : { conversations: living(query, ttl_s), next: null };
      if (mine === asked.current) setPage(found);
    } catch (error) {
      if (asProblem(error).status !== 401) onProblem(say(error));
    }
  }, [who.is, owner, query, ttl_s, onProblem]);
  const [changes, news] = useNews();

  useEffect(() => {
    // What was asked before is wanted no more.
    asked.current++;
    if (who.is === "unknown" || who.is === "ended") return;
    const timer = setTimeout(() => void reload(), query ? TYPING_MS : 0);
    return () => clearTimeout(timer);
  }, [reload, query, who.is, changes]);

  const { removing, remove, undo, hold } = useRemoval(owner, (id, by) => {
    setPage((page) => ({ ...page, conversations: page.conversations.filter((one) => one.id !== id) }));
    save(`draft.${id}`, null);
    if (!isAccount) forget(id);
    // The request outlives the page.
    return api("DELETE", `/conversations/${id}`, undefined, true).catch((error: unknown) => {
      // It is gone already, unless only its owner is.
      if (asProblem(error).status !== 404 || by !== present.current) onProblem(say(error));
    }).finally(news);
  });

  return useMemo(() => ({
    list: conversations.filter(({ id }) => id !== removing),
    /** What there is has been looked for. */
    looked: page !== NOTHING,
    more: Boolean(next), query, search, remove, removing, undo, hold,
    showMore: () => void reload(page),
    /** A message was sent: its conversation is the newest now, and may have got its title. */
    touch: (id: string, text: string) => {
      if (who.is === "guest") remember(id, text);
      news();
    },
    rename: async (id: string, title: string) => {
      setPage({ conversations: conversations.map((one) => (one.id === id ? { ...one, title } : one)), next });
      try {
        await api("PATCH", `/conversations/${id}`, { title });
        if (!isAccount) change(id, { title });
      } catch (error) {
        onProblem(say(error));
      }
      news();
    },
    /** A guest's conversation has expired. */
    drop: (id: string) => {
      if (!known().some((one) => one.id === id)) return;
      forget(id);
      news();
    },
  }), [page, conversations, next, removing, remove, undo, hold, who.is, isAccount, query, reload, news, onProblem]);
}

interface Page {
  conversations: Listed[];
  /** Where the next ones begin; "" for the newest, null where there are no more. */
  next: string | null;
}
const NOTHING: Page = { conversations: [], next: "" };

/** Those that are there, and the next ones, until there are as many as are wanted, in a few requests at most. */
async function fromServer(query: string, { conversations, next }: Page, wanted: number, stale: () => boolean): Promise<Page> {
  for (let pages = 0; next !== null && conversations.length < wanted && pages < PAGES_MAX && !stale(); pages++) {
    const where = new URLSearchParams({ limit: `${PAGE}`, ...(query && { q: query }), ...(next && { before: next }) });
    const page: Page = await api<Page>("GET", `/conversations?${where.toString()}`);
    conversations = [...conversations, ...page.conversations];
    next = page.next;
  }
  return { conversations, next };
}

/** How often the list has changed, here or in another tab, and how to tell of that. */
function useNews(): [number, () => void] {
  const [count, hear] = useReducer((before: number) => before + 1, 0);
  const tabs = useRef<ReturnType<typeof channel> | null>(null);
  useEffect(() => {
    const opened = (tabs.current = channel("list", () => hear()));
    return opened.close;
  }, []);
  return [count, useCallback(() => {
    tabs.current?.tell();
    hear();
  }, [])];
}

/** One deletion at a time can be undone; the next one, or leaving the page or the account, makes it final. */
function useRemoval(owner: string, commit: (id: string, by: string) => Promise<void>) {
  const [removing, setRemoving] = useState<string | null>(null);
  const waiting = useRef<{ id: string; by: string; timer: number } | null>(null);
  const underway = useRef(Promise.resolve());
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
    const before = underway.current;
    if (deletes) underway.current = latest.current(found.id, found.by).then(() => before);
  }, []);
  /** Give it more time, or let that begin anew. */
  const hold = useCallback((held: boolean) => {
    clearTimeout(waiting.current?.timer);
    if (waiting.current && !held) waiting.current.timer = window.setTimeout(() => settle(true), UNDO_MS);
  }, [settle]);
  /** Take it from the list; it is deleted when the time for `undo` is over, or the page is left. */
  const remove = useCallback((id: string) => {
    settle(true);
    waiting.current = { id, by: owner, timer: 0 };
    hold(false);
    setRemoving(id);
  }, [settle, hold, owner]);
  const undo = useCallback(() => settle(false), [settle]);

  useEffect(() => {
    const finish = () => settle(true);
    window.addEventListener("pagehide", finish);
    beforeLeaving.call = () => {
      finish();
      return underway.current;
    };
    return () => window.removeEventListener("pagehide", finish);
  }, [settle]);
  return { removing, remove, undo, hold };
}
