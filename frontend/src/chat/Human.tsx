import { memo } from "react";
import { Button } from "../shell/Button";
import { CopyButton } from "../shell/CopyButton";
import { t } from "../texts";
import { Time } from "./Time";

interface Props {
  text: string;
  at: string;
  sending?: boolean;
  /** How many turns are before it, while it waits. */
  waiting?: number;
  /** Why it was not sent; "" when nobody answered. */
  problem?: string | undefined;
  onRetry?: () => void;
  onEdit?: () => void;
  onCancel?: () => void;
}

/** A message of the person's own, with how far it has come. */
export const Human = memo(function Human({ text, at, sending, waiting, problem, onRetry, onEdit, onCancel }: Props) {
  const state = problem !== undefined ? null : sending ? t.sending : waiting !== undefined ? t.waiting(waiting) : null;
  return (
    <article aria-label={t.you} className="group flex flex-col items-end">
      <div className={`max-w-[85%] rounded-3xl rounded-br-md bg-bubble px-4 py-2.5 leading-relaxed break-words whitespace-pre-wrap md:max-w-[75%] ${sending ? "text-faint" : ""}`}>
        {text}
      </div>
      {problem !== undefined && (
        <p className="mt-1 flex flex-wrap items-center justify-end gap-x-1 text-xs text-danger">
          <span>{t.notSent} {problem || t.noAnswer}</span>
          <Button kind="text" onClick={onRetry}>{t.retry}</Button>
          <Button kind="text" onClick={onEdit}>{t.edit}</Button>
        </p>
      )}
      {state && (
        <p className="late mt-1 flex items-center gap-1 text-xs text-faint">
          <span>{state}</span>
          {onCancel && <Button kind="text" onClick={onCancel}>{t.cancelWaiting}</Button>}
        </p>
      )}
      {!state && problem === undefined && (
        <div className="actions mt-1 flex items-center gap-1">
          <Time at={at} />
          <CopyButton text={text} label={t.copyMessage} />
        </div>
      )}
    </article>
  );
});
