import { ChevronDown } from "lucide-react";
import { useState, type ReactNode } from "react";
import { Button } from "../shell/Button";
import { Dialog } from "../shell/Dialog";
import { t } from "../texts";
import { Field, Form, Trouble, useAct } from "./SignIn";
import type { Session } from "./useSession";

interface Props {
  session: Session;
  name: string;
  onDone: (note: string) => void;
  onClose: () => void;
}

/** What an account's owner can change: the password, the sessions, and whether there is an account at all. */
export function Settings({ session, name, onDone, onClose }: Props) {
  const everywhere = useAct();
  return (
    <Dialog title={t.settings} onClose={onClose}>
      <Section title={t.changePassword} text={t.changePasswordText}><ChangePassword session={session} name={name} onDone={onDone} onClose={onClose} /></Section>
      <Section title={t.signOutAll} text={t.signOutAllText}>
        <Trouble problem={everywhere[0]} />
        <Button disabled={everywhere[1]} onClick={() => everywhere[2](() => session.leave("everywhere").then(onClose))}>{t.signOutAll}</Button>
      </Section>
      <Section title={t.deleteAccount} text={t.deleteAccountText}><DeleteAccount session={session} name={name} onClose={onClose} /></Section>
    </Dialog>
  );
}

function Section({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <details className="group border-t border-line py-2 first-of-type:border-0" name="settings">
      <summary className="flex cursor-pointer list-none items-center justify-between rounded-md py-2 font-medium">
        {title}
        <ChevronDown size={18} aria-hidden className="text-faint group-open:rotate-180" />
      </summary>
      <p className="mt-1 mb-3 text-sm text-faint">{text}</p>
      {children}
    </details>
  );
}

function ChangePassword({ session, name, onDone, onClose }: Props) {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [problem, busy, act] = useAct();
  const submit = () => act(async () => {
    await session.changePassword(old, next);
    onDone(t.passwordChanged);
    onClose();
  });
  return (
    <Form onSubmit={submit}>
      <input type="text" autoComplete="username" value={name} readOnly hidden />
      <Field label={t.password} type="password" autoComplete="current-password" value={old} onValue={setOld} maxLength={200} />
      <Field label={t.newPassword} type="password" autoComplete="new-password" hint={t.passwordHint} minLength={8} maxLength={200} value={next} onValue={setNext} />
      <Trouble problem={problem} />
      <Button kind="primary" type="submit" disabled={busy}>{t.changePassword}</Button>
    </Form>
  );
}

function DeleteAccount({ session, name, onClose }: { session: Session; name: string; onClose: () => void }) {
  const [password, setPassword] = useState("");
  const [problem, busy, act] = useAct();
  return (
    <Form onSubmit={() => act(() => session.leave("for good", password).then(onClose))}>
      <input type="text" autoComplete="username" value={name} readOnly hidden />
      <Field label={t.password} type="password" autoComplete="current-password" value={password} onValue={setPassword} maxLength={200} />
      <Trouble problem={problem} />
      <Button kind="danger" type="submit" disabled={busy}>{t.deleteAccount}</Button>
    </Form>
  );
}
