import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { t } from "../texts";
import { Button } from "./Button";

/** Copies a text. `shown`: with its label as text beside the icon. */
export function CopyButton({ text, label, shown = false }: { text: string; label: string; shown?: boolean }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    const timer = copied ? setTimeout(() => setCopied(false), 2000) : undefined;
    return () => clearTimeout(timer);
  }, [copied]);
  const Icon = copied ? Check : Copy;
  const name = copied ? t.copied : label;
  return (
    <Button kind={shown ? "text" : "icon"} label={shown ? undefined : name} onClick={() => void copy(text).then(setCopied)}>
      <Icon size={shown ? 14 : 16} aria-hidden />
      {shown && name}
    </Button>
  );
}

/** Copy to the clipboard, and say whether it worked. On plain http only the old way is open. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, className: "sr-only" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
