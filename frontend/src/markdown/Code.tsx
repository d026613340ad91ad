import { useEffect, useState, type ReactNode } from "react";
import { CopyButton } from "../shell/CopyButton";
import { t } from "../texts";
import type { Colored } from "./highlight";

// Beyond this, colours would cost more time than they are worth.
const COLORED_MAX_CHARS = 40_000;

type Node = Colored["children"][number];

/** A block of code. While `open`, more of it is to come, and it stays plain. */
export function Code({ code, language, open }: { code: string; language: string; open: boolean }) {
  const [colored, setColored] = useState<Colored | null>(null);
  useEffect(() => {
    if (open || !language || code.length > COLORED_MAX_CHARS) return;
    let wanted = true;
    void import("./highlight").then(({ highlight }) => wanted && setColored(highlight(language, code)), () => undefined);
    return () => {
      wanted = false;
    };
  }, [code, language, open]);

  return (
    <figure className="code my-4 overflow-hidden rounded-xl border border-line bg-code">
      <figcaption className="flex items-center justify-between py-1 pr-1.5 pl-4 text-xs text-faint">
        <span>{language || t.code}</span>
        <CopyButton text={code} label={t.copyCode} shown />
      </figcaption>
      <pre tabIndex={0} aria-label={language || t.code} className="overflow-x-auto px-4 pt-1 pb-4 font-mono text-[0.8125rem] leading-relaxed">
        <code>{colored && !open ? colored.children.map(paint) : code}</code>
      </pre>
    </figure>
  );
}

function paint(node: Node, index: number): ReactNode {
  if (node.type === "text") return node.value;
  if (node.type !== "element") return null;
  const { className } = node.properties;
  return (
    <span key={index} className={Array.isArray(className) ? className.join(" ") : undefined}>
      {node.children.map(paint)}
    </span>
  );
}
