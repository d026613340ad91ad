import { Gauge, RefreshCw, TriangleAlert } from "lucide-react";
import { lazy, memo, Suspense, useState } from "react";
import { Boundary } from "../shell/Boundary";
import { Button } from "../shell/Button";
import { CopyButton } from "../shell/CopyButton";
import { t } from "../texts";
import type { Message } from "../types";
import { Time } from "./Time";

// Most of the page's weight; it comes while the first reply is awaited.
export const loadMarkdown = (): Promise<typeof import("../markdown/Markdown")> =>
  import("../markdown/Markdown").catch(async () => {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return loadMarkdown();
  });
const Markdown = lazy(loadMarkdown);
const AGAIN_MS = 3000;

// What a token of English is long on the average; the server counts milliseconds only.
const CHARS_PER_TOKEN = 4;

interface Props {
  text: string;
  message?: Message;
  growing?: boolean;
  /** Another worker has taken over and begun anew. */
  again?: boolean;
  stopping?: boolean;
  onRetry?: (() => void) | undefined;
}

/** A reply: as it grows, and as it ended. */
export const Reply = memo(Reply_, (before, now) =>
  // The function is a new one each time; only whether there is one matters.
  before.text === now.text && before.message === now.message && before.growing === now.growing &&
  before.again === now.again && before.stopping === now.stopping && !before.onRetry === !now.onRetry);

function Reply_({ text, message, growing = false, again, stopping, onRetry }: Props) {
  const plain = <div className="markdown whitespace-pre-wrap">{text}</div>;
  return (
    <article aria-label={t.bot} aria-busy={growing} className="group">
      {text ? (
        <Boundary instead={() => plain}>
          <Suspense fallback={plain}><Markdown text={text} growing={growing} /></Suspense>
        </Boundary>
      ) : (
        growing && <p className="caret h-7 text-faint"><span className="sr-only">{t.replying}</span></p>
      )}
      {growing && (again || stopping) && <p className="mt-2 text-xs text-faint">{stopping ? t.stopping : t.begunAgain}</p>}
      {message && <Ending message={message} onRetry={onRetry} />}
    </article>
  );
}

function Ending({ message, onRetry }: { message: Message; onRetry: (() => void) | undefined }) {
  const [timed, setTimed] = useState(false);
  const { status, failure, text, timing } = message;
  const colors = status === "failed" ? "bg-warn-soft text-warn" : "bg-side text-faint";
  return (
    <>
      {status !== "completed" && (
        <div className={`${colors} mt-3 flex w-fit flex-wrap items-center gap-x-3 gap-y-2 rounded-xl px-3.5 py-2 text-sm`}>
          {status === "failed" && <TriangleAlert size={16} aria-hidden />}
          <span className="min-w-0">{status === "failed" ? t.failed(failure) : t.stopped}</span>
          {onRetry && <Button className="h-8! bg-raised px-3.5! text-ink" onClick={onRetry}>{t.retry}</Button>}
        </div>
      )}
      <div className={`actions mt-1 -ml-2 flex items-center ${onRetry || timed ? "shown" : ""}`}>
        {text && <CopyButton text={text} label={t.copyReply} />}
        {onRetry && status === "completed" && (
          <Button kind="icon" label={t.regenerate} onClick={onRetry}>
            <RefreshCw size={16} aria-hidden />
          </Button>
        )}
        {timing && (
          <Button kind="icon" label={t.timing} aria-expanded={timed} onClick={() => setTimed(!timed)}>
            <Gauge size={16} aria-hidden />
          </Button>
        )}
        <Time at={message.at} />
      </div>
      {timed && <p className="mt-1 text-xs text-faint">{timingLine(message)}</p>}
    </>
  );
}

function timingLine({ timing = {}, text }: Message): string {
  const { waited_ms, first_text_ms, total_ms } = timing;
  const writing_ms = (total_ms ?? 0) - (first_text_ms ?? 0);
  const rate = writing_ms > 0 ? text.length / CHARS_PER_TOKEN / (writing_ms / 1000) : undefined;
  return t.timingLine(waited_ms, first_text_ms, rate);
}
