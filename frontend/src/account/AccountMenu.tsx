import { CircleUserRound, LogIn, LogOut, MonitorCog, Moon, Settings, Sun, UserPlus } from "lucide-react";
import { Menu, type Item } from "../shell/Menu";
import { useTheme } from "../shell/useTheme";
import { t } from "../texts";
import type { Who } from "./useSession";

export type Wanted = "login" | "accounts" | "settings" | "again";

interface Props {
  who: Who;
  open: boolean;
  onWant: (dialog: Wanted) => void;
  onSignOut: () => void;
}

/** Who is here, and what they can do about it. `open`: new accounts are. */
export function AccountMenu({ who, open, onWant, onSignOut }: Props) {
  const [theme, choose] = useTheme();
  const themes: Item[] = ([["system", MonitorCog], ["light", Sun], ["dark", Moon]] as const)
    .map(([name, icon]) => ({ label: t.theme[name], icon, checked: name === theme, act: () => choose(name) }));
  const own: Item[] = {
    unknown: [],
    guest: [
      { label: t.signIn, icon: LogIn, act: () => onWant("login") },
      ...(open ? [{ label: t.signUp, icon: UserPlus, act: () => onWant("accounts") }] : []),
    ],
    account: [
      { label: t.settings, icon: Settings, act: () => onWant("settings") },
      { label: t.signOut, icon: LogOut, act: onSignOut },
    ],
    ended: [{ label: t.signIn, icon: LogIn, act: () => onWant("again") }],
  }[who.is];
  const name = "name" in who ? who.name : who.is === "guest" ? t.guest : "";
  const initial = "grid size-7 place-items-center rounded-full bg-accent text-xs font-semibold text-on-accent uppercase";
  const face = "name" in who
    ? <span aria-hidden className={initial}>{name.charAt(0)}</span>
    : <CircleUserRound size={26} strokeWidth={1.5} aria-hidden className="text-faint" />;
  return (
    <Menu label={t.account} kind="row" items={[...own, ...themes]}
      trigger={<>{face}<span className="min-w-0 flex-1 truncate">{name}</span></>} />
  );
}
