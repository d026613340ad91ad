import { X } from "lucide-react";
import { useEffect, useId, useRef, type ReactNode } from "react";
import { t } from "../texts";
import { Button } from "./Button";

/** A dialog element that is modal while it is mounted: the browser keeps the focus inside, and gives it back. */
function useModal() {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>("form input:not([readonly])")?.focus();
    return () => dialog?.close();
  }, []);
  return { ref, close: () => ref.current?.close() };
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const { ref, close } = useModal();
  const id = useId();
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose} className="dialog arrive">
      <div className="mb-3 flex items-start justify-between gap-4">
        <h2 id={id} className="text-xl font-semibold">{title}</h2>
        <Button kind="icon" label={t.close} className="-mt-1 -mr-2" onClick={close}><X size={18} aria-hidden /></Button>
      </div>
      {children}
    </dialog>
  );
}

/** The sidebar on a phone, at the left edge. A tap beside it closes it. */
export function Drawer({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  const { ref, close } = useModal();
  return (
    <dialog
      ref={ref} aria-label={t.menu} onClose={onClose} className="drawer"
      onClick={({ target, currentTarget }) => target === currentTarget && close()}
    >
      {children}
    </dialog>
  );
}
