import { useRef } from "react";
import { Button } from "../shell/Button";
import { thenWrite } from "../shell/focus";
import { Examples, Hello, Loading } from "../shell/Parts";
import { t } from "../texts";
import type { Config } from "../types";
import type { Chat, ChatState } from "./chat";
import { Composer, type ComposerHandle } from "./Composer";
import { ThreadView } from "./ThreadView";
import { unheard } from "./thread";

interface Props {
  chat: Chat;
  state: ChatState;
  config: Config;
  isGuest: boolean;
  onGoOn: () => void;
}

/** A conversation and where one writes; for a new chat, an invitation. */
export function ChatView({ chat, state, config, isGuest, onGoOn }: Props) {
  const { thread, stopping } = state;
  const composer = useRef<ComposerHandle>(null);
  const isEmpty = !thread.messages.length && !thread.turn && !thread.pending.length && !unheard(thread).length;
  const isNew = isEmpty && thread.state === "live";
  const isGone = thread.state === "gone";
  return (
    <>
      {isNew && <Hello />}
      {isEmpty && thread.state === "loading" && <Loading />}
      {!isEmpty && (
        <ThreadView key={chat.key} chat={chat} state={state} onEdit={(text) => composer.current?.offer(text) ?? false} />
      )}
      {isGone ? (
        <div role="alert" className="m-auto flex max-w-3xl flex-col items-center gap-3 p-6 text-center text-sm text-faint">
          {/* Who has not seen it cannot know what became of it. */}
          <p>{thread.position ? t.goneNow : t.gone} {!thread.position && isGuest && t.goneGuest}</p>
          <Button kind="primary" onClick={onGoOn}>{t.goOn}</Button>
        </div>
      ) : (
        <Composer
          key={`composer-${chat.key}`} ref={composer} name={chat.id ?? "new"} max={config.limits.message_max_chars}
          running={thread.turn !== null} stopping={stopping}
          onSend={(text) => chat.send(text)} onStop={thenWrite(() => chat.stop())}
        />
      )}
      {isNew && <Examples texts={config.demo ? t.demoExamples : t.examples} onPick={(text) => chat.send(text)} />}
    </>
  );
}
