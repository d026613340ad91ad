import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { load, save } from "../storage";

/** Texts in one, with a line between them. */
export const both = (...texts: string[]): string => texts.filter((text) => text.trim()).join("\n\n");

export const loadDraft = (name: string): string => load<string>(`draft.${name}`, "");

/** The draft of a conversation, and how to write it. Tabs do not take each other's away. */
export function useDraft(name: string): [string, (text: string) => void] {
  const [text, setText] = useState(() => loadDraft(name));
  const write = (next: string) => {
    setText(next);
    if (next || loadDraft(name) === text) save(`draft.${name}`, next);
  };
  const of = useRef(name);
  useLayoutEffect(() => {
    // The first message has made the conversation; what was typed meanwhile belongs to it.
    if (of.current === name) return;
    if (loadDraft(of.current) === text) save(`draft.${of.current}`, "");
    save(`draft.${name}`, text);
    of.current = name;
  }, [name, text]);
  useEffect(() => {
    const keep = () => {
      if (!loadDraft(name).includes(text)) save(`draft.${name}`, both(loadDraft(name), text));
    };
    window.addEventListener("pagehide", keep);
    return () => window.removeEventListener("pagehide", keep);
  }, [name, text]);
  return [text, write];
}
