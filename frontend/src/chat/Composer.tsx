import { ArrowUp, Square } from "lucide-react";
import { useImperativeHandle, useLayoutEffect, useRef, type KeyboardEvent, type Ref } from "react";
import { Button } from "../shell/Button";
import { t } from "../texts";
import { both, useDraft } from "./draft";

const HEIGHT_MAX_PX = 220;
// What part of the limit is left when that is shown and told, and when it is told again.
const NEAR = 0.1, CLOSE = 0.02;

export interface ComposerHandle {
  /** Put a text in, before what is there. */
  offer: (text: string) => true;
}

interface Props {
  /** Under which name the draft is kept. */
  name: string;
  max: number;
  running: boolean;
  stopping: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
  ref: Ref<ComposerHandle>;
}

/** Where messages are written. Mounted anew for each conversation, so that each has its draft. */
export function Composer({ name, max, running, stopping, onSend, onStop, ref }: Props) {
  const [text, write] = useDraft(name);
  // Code may begin with an indentation.
  const message = text.replace(/^\s*\n|\s+$/g, "");
  const area = useRef<HTMLTextAreaElement>(null);
  // The server counts characters, not UTF-16 code units.
  const length = message.length > max * (1 - NEAR) ? [...message].length : 0;
  const mark = length > max * (1 - CLOSE) ? CLOSE : NEAR;
  const told = !length ? "" : length > max ? t.over : t.fewer(Math.round(max * mark));
  const ready = message !== "" && length <= max;

  const send = () => {
    if (!ready) return;
    write("");
    onSend(message);
    area.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter that ends a composition belongs to the input method; Safari tells so by its key code alone.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    const composing = event.nativeEvent.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    send();
  };

  useLayoutEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, HEIGHT_MAX_PX)}px`;
  }, [text]);
  useLayoutEffect(() => {
    // On a touch screen the keyboard would cover half of what one came to read.
    if (!window.matchMedia("(pointer: coarse)").matches) area.current?.focus();
  }, []);
  useImperativeHandle(ref, () => ({
    offer: (offered) => {
      write(both(offered, text));
      area.current?.focus();
      return true;
    },
  }));

  return (
    <form
      className="mx-auto w-full max-w-3xl px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] md:px-6"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div className="box flex flex-col bg-raised p-2 max-md:flex-row max-md:items-end short:flex-row short:items-end">
        <textarea
          ref={area} rows={1} value={text} aria-label={t.message} placeholder={t.placeholder} enterKeyHint="send"
          className="max-h-56 w-full resize-none bg-transparent px-3 pt-2 pb-1 leading-relaxed outline-none short:max-h-20"
          onChange={(event) => write(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <div className="flex min-h-9 shrink-0 items-center justify-end gap-2 md:pl-3">
          <p className="mr-auto text-xs text-faint max-md:hidden short:hidden">{t.keys}</p>
          {length > 0 && (
            <p className={`text-xs tabular-nums ${length > max ? "font-medium text-danger" : "text-faint"}`}>
              {length > max ? t.tooLong(length - max) : t.left(max - length)}
            </p>
          )}
          {/* Told at a few marks, not at each key. */}
          <span role="status" className="sr-only">{told}</span>
          {running && (
            <Button kind="round" label={t.stop} disabled={stopping} onClick={onStop} className="bg-ink text-ground">
              <Square size={13} fill="currentColor" aria-hidden />
            </Button>
          )}
          {(!running || message !== "") && (
            <Button kind="round" type="submit" label={t.send} disabled={!ready} className="bg-accent text-on-accent">
              <ArrowUp size={19} strokeWidth={2.4} aria-hidden />
            </Button>
          )}
        </div>
      </div>
    </form>
  );
}
