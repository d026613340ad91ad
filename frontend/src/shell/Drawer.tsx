import { useEffect, useRef, type ReactNode } from "react";
import { t } from "../texts";

/** The sidebar on a phone: a modal dialog at the left edge. A tap beside it closes it. */
export function Drawer({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} aria-label={t.menu} onClose={onClose} onClick={({ target }) => target === ref.current && ref.current.close()}
      className="drawer m-0 h-full max-h-none w-[min(19rem,85vw)] text-ink shadow-xl">
      {children}
    </dialog>
  );
}
