import { FlaskConical, X } from "lucide-react";
import { useState } from "react";
import { t } from "../texts";
import type { Link } from "../chat/hub";
import { load, save } from "../storage";
import { Button } from "./Button";
import { focusIfLost } from "./focus";
import { Logo } from "./Logo";

/** What is shown where there is no message yet. */
export function Hello() {
  return (
    <div className="flex min-h-0 flex-1 flex-col items-center justify-end gap-4 px-6 pb-7 text-center short:pb-3">
      <Logo size={44} className="short:hidden" />
      <div>
        <h2 className="text-2xl font-semibold text-balance md:text-[1.75rem]">{t.hello}</h2>
        <p className="mt-1.5 text-faint short:hidden">{t.tagline}</p>
      </div>
    </div>
  );
}

/** Stands for a conversation that takes a while to come. */
export const Loading = () => (
  <div aria-hidden className="late mx-auto flex w-full min-h-0 max-w-3xl flex-1 flex-col gap-4 px-6 pt-8">
    {["mb-3 h-11 w-2/5 self-end rounded-3xl", "h-4 w-full rounded-lg", "h-4 w-11/12 rounded-lg", "h-4 w-3/5 rounded-lg"].map((shape) => (
      <div key={shape} className={`${shape} animate-pulse bg-bubble`} />
    ))}
  </div>
);

export function Examples({ texts, onPick }: { texts: string[]; onPick: (text: string) => void }) {
  return (
    <ul className="mx-auto flex w-full max-w-lg flex-[1.3] flex-wrap short:flex-none short:flex-nowrap short:justify-start short:overflow-x-auto short:pb-3 content-start justify-center gap-2 px-4 pt-2">
      {texts.map((text) => (
        <li key={text}>
          <Button className="h-auto! min-h-9 px-4! py-1.5 text-left font-normal! short:whitespace-nowrap" onClick={() => onPick(text)}>{text}</Button>
        </li>
      ))}
    </ul>
  );
}

/** Says that nobody should judge Parley by what its demo model says. */
export function DemoBanner() {
  const [shown, setShown] = useState(() => !load("demo_known", false));
  if (!shown) return null;
  const close = () => {
    save("demo_known", true);
    setShown(false);
  };
  return (
    <p role="note" className="mx-3 mt-1 flex items-center gap-2.5 self-center rounded-full bg-warn-soft py-1 pr-1.5 pl-3.5 text-xs text-warn">
      <FlaskConical size={14} aria-hidden className="shrink-0" />
      <span>{t.demo} <span className="font-medium short:hidden">{t.demoHint}</span></span>
      <Button kind="icon" label={t.close} className="size-6! text-warn!" onClick={close}>
        <X size={14} aria-hidden />
      </Button>
    </p>
  );
}

export type Connection = Link | "offline" | "signedOut";

/** How the page stands with the server, as text and as colour. */
export function ConnectionState({ connection }: { connection: Connection | null }) {
  const named = connection === "missing" || connection === "login" ? "signedOut" : connection;
  const passing = named === "connecting" || named === "broken";
  const color = named && { connecting: "bg-warn", open: "bg-accent", broken: "bg-warn", offline: "bg-danger", signedOut: "bg-danger" }[named];
  return (
    <p role="status" className="shrink-0 px-2 text-xs text-faint">
      {named && (
        // On a phone a dot alone would say little, and all is well.
        <span key={named} className={`${passing ? "late" : ""} ${named === "open" ? "max-md:sr-only" : ""} flex items-center gap-2`}>
          <span aria-hidden className={`size-2 rounded-full ${color}`} />
          {t.link[named]}
        </span>
      )}
    </p>
  );
}

interface ToastProps {
  text: string;
  /** Given while what the text tells of can be undone. */
  onUndo?: (() => void) | undefined;
  /** Somebody is about to undo it, so that there must be time, or is no more. */
  onHold: (held: boolean) => void;
}

/** A note that goes away. Its region is always there, as screen readers only tell of what changes in one. */
export function Toast({ text, onUndo, onHold }: ToastProps) {
  return (
    <div role="status" className="absolute bottom-32 left-1/2 z-20 -translate-x-1/2">
      {text && (
        <p
          className="arrive flex w-max max-w-[calc(100vw-2rem)] items-center gap-3 rounded-full bg-ink py-2.5 pr-3 pl-5 text-sm text-ground"
          onPointerEnter={() => onHold(true)} onPointerLeave={() => onHold(false)}
          onFocus={({ target }) => onHold(target.matches(":focus-visible"))} onBlur={() => onHold(false)}
        >
          <span className="pr-2">{text}</span>
          {onUndo && (
            <button type="button" ref={focusIfLost} className="cursor-pointer px-2.5 py-1 font-semibold underline underline-offset-4" onClick={onUndo}>
              {t.undo}
            </button>
          )}
        </p>
      )}
    </div>
  );
}
