import { ArrowDown } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "../shell/Button";
import { thenWrite } from "../shell/focus";
import { t } from "../texts";
import type { Message } from "../types";
import type { Chat, ChatState } from "./chat";
import { Human } from "./Human";
import { Reply } from "./Reply";
import { unheard, type Thread } from "./thread";
import { useStickToEnd } from "./useStickToEnd";

interface Props {
  chat: Chat;
  state: ChatState;
  /** Put a text where one writes. Returns whether that could be done. */
  onEdit: (text: string) => boolean;
}

/** The messages of a conversation, oldest first, then what runs, waits and is on its way. */
export function ThreadView({ chat, state, onEdit }: Props) {
  const { thread } = state;
  const { turn } = thread;
  const { boxRef, contentRef, away, jump, hold } = useStickToEnd();
  const sent = unheard(thread);
  const newest = sent.at(-1)?.id;
  useEffect(() => {
    if (newest) jump();
  }, [newest, jump]);

  // What was complete before is no news.
  const [begun, setBegun] = useState(false);
  if (turn && !begun) setBegun(true);

  // One list, so that a reply stays the same element, with what is selected in it and focused, when it ends.
  const entries: Message[] = turn ? [...thread.messages, { id: turn.reply_id, role: "bot", text: turn.text, at: "" }] : thread.messages;
  const idle = thread.state === "live" && !turn && !thread.pending.length && !sent.length;
  const retryable = idle ? thread.messages.at(-1)?.id : undefined;
  const takeBack = async (id: string, text: string) => {
    if (await chat.withdraw(id)) onEdit(text);
  };
  return (
    <div className="relative min-h-0 flex-1">
      <div ref={boxRef} tabIndex={0} role="log" aria-live="off" aria-label={t.thread} className="thread">
        <div ref={contentRef} className="mx-auto max-w-3xl px-4 pt-6 pb-10 md:px-6">
          {thread.first > 0 && <Button className="mx-auto mb-6 flex!" onClick={() => void hold(() => chat.earlier())}>{t.earlier}</Button>}
          <div className="flex flex-col gap-6">
            {entries.map((message) => {
              if (message.role === "human") return <Human key={message.id} text={message.text} at={message.at} />;
              return message.id === turn?.reply_id ? (
                <Reply key={message.id} text={turn.text} growing again={turn.attempt > 1} stopping={state.stopping} />
              ) : (
                <Reply key={message.id} text={message.text} message={message} onRetry={message.id === retryable ? thenWrite(() => chat.retry(message)) : undefined} />
              );
            })}
            {thread.pending.map(({ id, text, at }, index) => (
              <Human key={id} text={text} at={at} state={t.waiting(index + (turn ? 1 : 0))} onCancel={() => void takeBack(id, text)} />
            ))}
            {sent.map(({ id, text, at, state: how, problem }) => {
              const unsend = () => {
                if (onEdit(text)) chat.discard(id);
              };
              return how === "failed" ? (
                <Human key={id} text={text} at={at} problem={problem ?? ""} onRetry={thenWrite(() => chat.resend(id))} onEdit={unsend} />
              ) : (
                <Human key={id} text={text} at={at} state={state.held ? t.held[state.held] : t.sending} onCancel={state.held ? unsend : undefined} />
              );
            })}
          </div>
        </div>
      </div>
      <p role="status" className="sr-only">{begun && announcement(thread)}</p>
      {away && (
        <Button onClick={jump} className="arrive absolute bottom-4 left-1/2 -translate-x-1/2 bg-raised shadow-md">
          <ArrowDown size={16} aria-hidden />
          {t.jump}
        </Button>
      )}
    </div>
  );
}

/** What a screen reader says when a reply begins and when it ends, never in between. */
function announcement({ turn, messages }: Thread): string {
  if (turn) return t.replying;
  const status = messages.at(-1)?.status;
  return status ? t.ended[status] : "";
}
