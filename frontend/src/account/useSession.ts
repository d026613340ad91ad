import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, onSignedOut } from "../api";
import { forget as forgetGuests, known } from "../shell/guests";
import { channel, forgetDrafts, load, save } from "../storage";
import type { Config } from "../types";

const ASSUMED: Config = {
  demo: false, registration: "closed", account: null, limits: { message_max_chars: 4000, chat_ttl_s: 3600 },
};

/** Who uses this page. `ended`: somebody whose session is over, whose page waits for the next login. */
export type Who = { is: "unknown" } | { is: "guest" } | { is: "account"; name: string } | { is: "ended"; name: string };

/** What must be done while the session still lives; the list of conversations sets it. */
export const beforeLeaving = { call: (): Promise<void> => Promise.resolve() };

export type Session = ReturnType<typeof useSession>;

/** The session of this browser; its tabs tell each other of changes. */
export function useSession() {
  const [who, setWho] = useState<Who>({ is: "unknown" });
  // What the server says of itself, or, until it answers, what most would say.
  const [config, setConfig] = useState(ASSUMED);
  const tabs = useRef<ReturnType<typeof channel> | null>(null);
  const now = useRef(who);
  const changing = useRef(false);
  const become = useCallback((next: Who): Who => {
    now.current = next;
    save("account", "name" in next ? next.name : null);
    setWho(next);
    return next;
  }, []);

  const ask = useCallback(async (): Promise<Who> => {
    const before = now.current;
    // The cookie is not for scripts to see; the note says who was here last.
    const name = before.is === "unknown" ? load<string>("account", "") : "name" in before ? before.name : "";
    const told = await api<Config>("GET", "/config").catch(() => null);
    if (told) setConfig(told);
    const found = whoIsHere(told, name, before);
    // What another tab has told meanwhile is newer, and who is as before is no news.
    return now.current !== before || JSON.stringify(found) === JSON.stringify(before) ? now.current : become(found);
  }, [become]);

  useEffect(() => {
    if (now.current.is === "unknown") void ask();
    onSignedOut.call = () => {
      const { current } = now;
      if (current.is === "account" && !changing.current) become({ is: "ended", name: current.name });
    };
    // The other tab's word counts, as its change of the storage may arrive only after it.
    const opened = (tabs.current = channel("session", (name) => {
      become(name ? { is: "account", name } : { is: "guest" });
    }));
    return opened.close;
  }, [ask, become]);

  /** Ask the server whether the session is over. */
  // Streams end while the session changes, and are opened anew after it.
  const signedOut = useCallback(async () => changing.current || (await ask()).is === "ended", [ask]);

  const tell = useCallback((name: string) => {
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
    /** Go on as a guest after the session's end. */
    const forget = () => {
      void beforeLeaving.call();
      forgetDrafts();
      tell("");
    };
    return {
      who, config, signedOut, forget,
      /** Sign in or up; the conversations that this browser knows as a guest's come along. */
      enter: (how: "login" | "accounts", name: string, password: string) => change(async () => {
        const keep = known().map(({ id }) => id);
        const account = await api<{ name: string }>("POST", `/${how}`, { name, password, keep });
        for (const id of keep) forgetGuests(id);
        return account.name;
      }),
      changePassword: (password: string, new_password: string) => change(async () => {
        await api("POST", "/me/password", { password, new_password });
        return "name" in who ? who.name : "";
      }),
      /** Sign out here, or end all of the account's sessions, or the account itself. Rejects with a Problem. */
      leave: (how: "here" | "everywhere" | "for good", password?: string) => change(async () => {
        await beforeLeaving.call();
        if (how === "here") await api("POST", "/logout", {});
        else if (how === "everywhere") await api("DELETE", "/me/sessions");
        else await api("DELETE", "/me", { password });
        forgetDrafts();
        return "";
      }),
    };
  }, [who, config, signedOut, tell]);
}

function whoIsHere(told: Config | null, name: string, before: Who): Who {
  if (told?.account) return { is: "account", name: told.account };
  if (!name) return { is: "guest" };
  // Only an answer proves that the session is over; who cannot reach the server is who they were.
  return told || before.is === "ended" ? { is: "ended", name } : { is: "account", name };
}
