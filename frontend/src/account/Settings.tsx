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
  const change = (password: string, next: string) => session.changePassword(password, next).then(() => onDone(t.passwordChanged));
  const leave = (...how: Parameters<Session["leave"]>) => session.leave(...how).then(() => onDone(t.signedOutNote)).then(onClose);
  return (
    <Dialog title={t.settings} onClose={onClose}>
      <Section title={t.changePassword} text={t.changePasswordText}>
        <Confirm name={name} label={t.changePassword} asks="both" act={(...given) => change(...given).then(onClose)} />
      </Section>
      <Section title={t.signOutAll} text={t.signOutAllText}>
        <Confirm name={name} label={t.signOutAll} act={() => leave("everywhere")} />
      </Section>
      <Section title={t.deleteAccount} text={t.deleteAccountText}>
        <Confirm name={name} label={t.deleteAccount} asks="password" danger act={(password) => leave("for good", password)} />
      </Section>
    </Dialog>
  );
}

function Section({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <details className="group border-t border-line py-2 first-of-type:border-0 open:pb-5" name="settings">
      <summary className="flex cursor-pointer list-none items-center justify-between rounded-md py-2 font-medium">
        {title}
        <ChevronDown size={18} aria-hidden className="text-faint group-open:rotate-180" />
      </summary>
      <p className="mt-1 mb-3 text-sm text-faint">{text}</p>
      {children}
    </details>
  );
}

interface ConfirmProps {
  name: string;
  label: string;
  /** The password, and where it is to be changed the new one too. */
  asks?: "password" | "both";
  danger?: boolean;
  act: (password: string, next: string) => Promise<void>;
}

function Confirm({ name, label, asks, danger, act }: ConfirmProps) {
  const [password, setPassword] = useState("");
  const [next, setNext] = useState("");
  const [problem, busy, run] = useAct();
  const common = { type: "password", maxLength: 200 };
  return (
    <Form onSubmit={() => run(() => act(password, next))}>
      {/* For password managers. */}
      <input type="text" autoComplete="username" value={name} readOnly hidden />
      {asks && <Field {...common} label={t.password} autoComplete="current-password" value={password} onValue={setPassword} />}
      {asks === "both" && (
        <Field {...common} label={t.newPassword} autoComplete="new-password" minLength={8} hint={t.passwordHint} value={next} onValue={setNext} />
      )}
      <Trouble problem={problem} named />
      <Button kind={danger ? "danger" : "primary"} type="submit" disabled={busy}>{label}</Button>
    </Form>
  );
}
