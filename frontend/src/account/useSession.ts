import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, asProblem, onSignedOut } from "../api";
import { channel, forgetDrafts, forgetOutbox, load, save } from "../storage";
import type { Account, Listed } from "../types";

// How many conversations the server takes over.
const KEPT_MAX = 100;

/** Who uses this page. `ended`: somebody whose session is over, whose page waits for the next login. */
export type Who = { is: "unknown" } | { is: "guest" } | { is: "account"; name: string } | { is: "ended"; name: string };

/** What must be done while the session still lives; the list of conversations sets it. */
export const beforeLeaving = { call: (): Promise<void> => Promise.resolve() };

export interface Session {
  who: Who;
  /** Ask the server whether the session is over. */
  signedOut: () => Promise<boolean>;
  /** Sign in or up; the conversations that this browser knows as a guest's come along. */
  enter: (how: "login" | "accounts", name: string, password: string) => Promise<void>;
  changePassword: (password: string, next: string) => Promise<void>;
  /** Sign out here, or end all of the account's sessions, or the account itself. Rejects with a Problem. */
  leave: (how: "here" | "everywhere" | "for good", password?: string) => Promise<void>;
  /** Go on as a guest after the session's end. */
  forget: () => void;
}

/** The session of this browser; its tabs tell each other of changes. */
export function useSession(): Session {
  // The cookie is not for scripts to see, so the page notes who signed in, and asks the server only then.
  const [who, setWho] = useState<Who>(() => (load<string>("account", "") ? { is: "unknown" } : { is: "guest" }));
  const tabs = useRef<ReturnType<typeof channel> | null>(null);
  const now = useRef(who);
  const changing = useRef(false);
  const become = useCallback((next: Who): Who => {
    now.current = next;
    setWho(next);
    return next;
  }, []);

  const ask = useCallback(async (): Promise<Who> => {
    const before = now.current;
    const found = await whoIsHere();
    // What another tab has told meanwhile is newer.
    return now.current === before ? become(found) : now.current;
  }, [become]);

  useEffect(() => {
    if (now.current.is === "unknown") void ask();
    onSignedOut.call = () => {
      const { current } = now;
      if (current.is === "account" && !changing.current) become({ is: "ended", name: current.name });
    };
    // The other tab's word counts, as its change of the storage may arrive only after it.
    const opened = (tabs.current = channel("session", (name) => {
      const { current } = now;
      if (current.is === "unknown" ? !name : "name" in current && current.name !== name) forgetOutbox();
      become(name ? { is: "account", name } : { is: "guest" });
    }));
    return opened.close;
  }, [ask, become]);

  const signedOut = useCallback(async () => {
    // Streams end while the session changes, and are opened anew after it.
    if (changing.current) return true;
    const current = now.current.is === "unknown" ? await ask() : now.current;
    if (current.is !== "account") return current.is === "ended";
    try {
      await api("GET", "/me");
      return false;
    } catch (error) {
      if (asProblem(error).status !== 401) return false;
      const latest = now.current === current ? become({ is: "ended", name: current.name }) : now.current;
      return latest.is === "ended";
    }
  }, [ask, become]);

  const tell = useCallback((name: string) => {
    save("account", name);
    become(name ? { is: "account", name } : { is: "guest" });
    tabs.current?.tell(name);
  }, [become]);

  return useMemo(() => {
    const change = async (work: () => Promise<string>) => {
      changing.current = true;
      try {
        tell(await work());
      } finally {
        changing.current = false;
      }
    };
    const forget = () => {
      void beforeLeaving.call();
      forgetDrafts();
      tell("");
    };
    return {
      who,
      signedOut,
      forget,
      enter: (how, name, password) => change(async () => {
        const keep = load<Listed[]>("guest", []).map(({ id }) => id).slice(0, KEPT_MAX);
        const account = await api<Account>("POST", `/${how}`, { name, password, keep });
        save("guest", null);
        return account.name;
      }),
      changePassword: (password, new_password) => change(async () => {
        await api("POST", "/me/password", { password, new_password });
        return "name" in who ? who.name : "";
      }),
      leave: (how, password) => change(async () => {
        await beforeLeaving.call();
        if (how === "here") await api("POST", "/logout", {});
        else if (how === "everywhere") await api("DELETE", "/me/sessions");
        else await api("DELETE", "/me", { password });
        forgetDrafts();
        return "";
      }),
    };
  }, [who, signedOut, tell]);
}

async function whoIsHere(): Promise<Who> {
  const name = load<string>("account", "");
  if (!name) return { is: "guest" };
  try {
    return { is: "account", name: (await api<Account>("GET", "/me")).name };
  } catch (error) {
    // Only an answer proves that the session is over; who cannot reach the server is who they were.
    return { is: asProblem(error).status === 401 ? "ended" : "account", name };
  }
}
