import { memo } from "react";
import { Button } from "../shell/Button";
import { CopyButton } from "../shell/CopyButton";
import { t } from "../texts";
import { Time } from "./Time";

interface Props {
  text: string;
  at: string;
  /** What it waits for, until its turn begins. */
  state?: string | undefined;
  /** Why it was not sent. */
  problem?: string | undefined;
  onRetry?: () => void;
  onEdit?: () => void;
  onCancel?: (() => void) | undefined;
}

/** A message of the person's own, with how far it has come. */
export const Human = memo(function Human({ text, at, state, problem, onRetry, onEdit, onCancel }: Props) {
  return (
    <article aria-label={t.you} className="group flex flex-col items-end">
      <div className="flex w-full flex-row-reverse items-center gap-2">
        <div className="max-w-[min(85%,36rem)] rounded-3xl rounded-br-md bg-bubble px-4 py-2.5 leading-relaxed wrap-anywhere whitespace-pre-wrap">{text}</div>
        {!state && problem === undefined && (
          <div className="actions flex items-center gap-1 pointer-coarse:hidden">
            <CopyButton text={text} label={t.copyMessage} />
            <Time at={at} />
          </div>
        )}
      </div>
      {problem !== undefined && (
        <p className="mt-1 flex flex-wrap items-center justify-end gap-x-1 text-xs text-danger">
          <span>{t.notSent} {problem}</span>
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
    </article>
  );
});
