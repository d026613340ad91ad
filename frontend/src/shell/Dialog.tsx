import { X } from "lucide-react";
import { useId, useLayoutEffect, useRef, type ReactNode } from "react";
import { t } from "../texts";
import { Button } from "./Button";

/** A dialog element that is modal while it is mounted: the browser keeps the focus inside, and gives it back. */
function useModal(onClose: () => void) {
  const ref = useRef<HTMLDialogElement>(null);
  // Before it is taken off the page: a dialog that is removed while it is open does not give the focus back.
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>("form input:not([readonly])")?.focus();
    return () => dialog?.close();
  }, []);
  const props = {
    ref,
    // React's strict mode closes it once and opens it again.
    onClose: () => {
      if (!ref.current?.open) onClose();
    },
  };
  return { props, close: () => ref.current?.close() };
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const { props, close } = useModal(onClose);
  const id = useId();
  return (
    <dialog {...props} aria-labelledby={id} className="dialog arrive">
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
  const { props, close } = useModal(onClose);
  return (
    <dialog
      {...props} aria-label={t.menu} className="slide m-0 h-full max-h-none w-[min(19rem,85vw)] text-ink"
      onClick={({ target, currentTarget }) => target === currentTarget && close()}
    >
      {children}
    </dialog>
  );
}
