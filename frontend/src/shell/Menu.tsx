import { Check, type LucideIcon } from "lucide-react";
import { useId, useRef, type KeyboardEvent, type ReactNode } from "react";
import { Button } from "./Button";

export interface Item {
  label: string;
  icon: LucideIcon;
  act: () => void;
  danger?: boolean;
  /** Of several choices, whether it is the one that holds. */
  checked?: boolean;
}

interface Props {
  label: string;
  items: Item[];
  trigger: ReactNode;
  className?: string;
  kind?: "icon" | "row";
}

const GAP_PX = 6;

/** A button with a menu. It lies in the browser's top layer, so that nothing cuts it off. */
export function Menu({ label, items, trigger, className = "", kind = "icon" }: Props) {
  const id = useId();
  const menu = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  const place = () => {
    const box = menu.current, at = button.current?.getBoundingClientRect();
    if (!box || !at) return;
    const below = at.bottom + GAP_PX + box.offsetHeight < window.innerHeight;
    box.style.top = `${below ? at.bottom + GAP_PX : at.top - GAP_PX - box.offsetHeight}px`;
    const left = kind === "row" ? at.left : at.right - box.offsetWidth;
    box.style.left = `${Math.max(8, Math.min(left, window.innerWidth - box.offsetWidth - 8))}px`;
    entries(box)[0]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>) => {
    const all = entries(event.currentTarget);
    const here = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Tab") menu.current?.hidePopover();
    if (to === undefined && event.key !== "Enter") return;
    // The rest of an Enter would go to what the entry gives the focus to.
    event.preventDefault();
    if (to === undefined) all[here]?.click();
    else all[to % all.length]?.focus();
  };

  return (
    <>
      <Button
        kind={kind} label={kind === "icon" ? label : undefined} aria-haspopup="menu" className={className}
        ref={button} popoverTarget={id}
      >
        {trigger}
      </Button>
      <div
        ref={menu} id={id} popover="auto" role="menu" aria-label={label}
        onToggle={({ newState }) => newState === "open" && place()} onKeyDown={onKeyDown}
        className="menu"
      >
        {items.map(({ label: name, icon: Icon, act, danger, checked }) => (
          <Button
            key={name} kind="row" role={checked === undefined ? "menuitem" : "menuitemradio"} aria-checked={checked} tabIndex={-1} className={danger ? "text-danger" : ""}
            onClick={() => {
              menu.current?.hidePopover();
              act();
            }}
          >
            <Icon size={16} aria-hidden />
            {name}
            {checked && <Check size={16} aria-hidden className="ml-auto" />}
          </Button>
        ))}
      </div>
    </>
  );
}

const entries = (box: HTMLElement) => [...box.querySelectorAll<HTMLElement>("[role^=menuitem]")];
