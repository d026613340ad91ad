import { useId, useState, type ComponentProps, type ReactNode, type SyntheticEvent } from "react";
import { asProblem, type Problem } from "../api";
import { Button } from "../shell/Button";
import { Dialog } from "../shell/Dialog";
import { say, t } from "../texts";
import type { Session } from "./useSession";

interface Props {
  session: Session;
  how: "login" | "accounts";
  canSignUp: boolean;
  onTurn: () => void;
  onClose: () => void;
}

/** Signs in, signs up, or, after a session's end, signs the same person in again. */
export function SignIn({ session, how, canSignUp, onTurn, onClose }: Props) {
  const { who } = session;
  const again = who.is === "ended" ? who.name : "";
  const [name, setName] = useState(again);
  const [password, setPassword] = useState("");
  const [problem, busy, act] = useAct();
  const isNew = how === "accounts";
  const submit = () => act(async () => {
    await session.enter(how, name.trim(), password);
    onClose();
  });
  const title = again ? t.againTitle : isNew ? t.signUpTitle : t.signInTitle;
  return (
    <Dialog title={title} onClose={onClose}>
      {(again || isNew) && <p className="mb-4 text-sm text-faint">{again ? t.againText : t.signUpText}</p>}
      <Form onSubmit={submit}>
        <Field
          label={t.name} value={name} onValue={setName} readOnly={again !== ""} maxLength={40}
          autoComplete="username" autoCapitalize="none" spellCheck={false}
          {...(isNew && { hint: t.nameHint, pattern: "[\\p{L}\\p{N}_.\\-]{1,40}" })}
        />
        <Field label={t.password} type="password" value={password} onValue={setPassword} maxLength={200}
          {...(isNew ? { hint: t.passwordHint, minLength: 8, autoComplete: "new-password" } : { autoComplete: "current-password" })} />
        <Trouble problem={problem} />
        <Button kind="primary" type="submit" disabled={busy} className="w-full">{isNew ? t.signUp : t.signIn}</Button>
      </Form>
      {again ? (
        <details className="mt-3 text-center text-sm text-faint">
          <summary className="cursor-pointer list-none rounded-md py-2 hover:text-ink">{t.other}</summary>
          <p className="mt-1 mb-3">{t.otherText}</p>
          <Button className="w-full" onClick={() => {
            session.forget();
            onClose();
          }}>{t.otherSure}</Button>
        </details>
      ) : (
        canSignUp && (
          <p className="mt-4 text-center text-sm text-faint">
            {isNew ? t.toSignIn : t.toSignUp}{" "}
            <button type="button" className="cursor-pointer font-medium text-accent underline underline-offset-2" onClick={onTurn}>
              {isNew ? t.signIn : t.signUp}
            </button>
          </p>
        )
      )}
    </Dialog>
  );
}

export function Form({ onSubmit, children }: { onSubmit: () => void; children: ReactNode }) {
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    onSubmit();
  };
  return <form onSubmit={submit} className="flex flex-col gap-4">{children}</form>;
}

type FieldProps = Omit<ComponentProps<"input">, "onChange"> & { label: string; hint?: string; onValue: (value: string) => void };

export function Field({ label, hint, onValue, ...props }: FieldProps) {
  const id = useId();
  return (
    <div className="flex flex-col gap-1.5">
      <label htmlFor={id} className="text-sm font-medium">{label}</label>
      <input id={id} required aria-describedby={hint && `${id}-hint`} onChange={(event) => onValue(event.target.value)}
        className="h-11 rounded-xl border border-line-strong bg-ground px-3.5 read-only:bg-side read-only:text-faint" {...props} />
      {hint && <p id={`${id}-hint`} className="text-xs text-faint">{hint}</p>}
    </div>
  );
}

/** What went wrong. `named`: only a password was asked for. */
export function Trouble({ problem, named = false }: { problem: Problem | null; named?: boolean }) {
  const told = named && problem?.code === "login_failed" ? t.problems["password_wrong"] : problem && say(problem);
  return <p role="alert" className="text-sm text-danger empty:hidden">{told}</p>;
}

/** What came of an action, whether it is under way, and how to begin it. */
export function useAct(): [Problem | null, boolean, (action: () => Promise<void>) => void] {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const act = (action: () => Promise<void>) => {
    setBusy(true);
    setProblem(null);
    action().catch((error: unknown) => setProblem(asProblem(error))).finally(() => setBusy(false));
  };
  return [problem, busy, act];
}
