import { X } from "lucide-react";
import { useEffect, useId, useRef, type ReactNode } from "react";
import { t } from "../texts";
import { Button } from "./Button";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/** A modal dialog: the browser keeps the focus inside, and gives it back. */
export function Dialog({ title, onClose, children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>("input:not([readonly])")?.focus();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose} className="arrive w-[min(26rem,calc(100vw-2rem))] rounded-2xl border border-line bg-raised p-6 text-ink shadow-xl">
      <div className="mb-3 flex items-start justify-between gap-4">
        <h2 id={id} className="text-xl font-semibold">{title}</h2>
        <Button kind="icon" label={t.close} className="-mt-1 -mr-2" onClick={() => ref.current?.close()}>
          <X size={18} aria-hidden />
        </Button>
      </div>
      {children}
    </dialog>
  );
}
