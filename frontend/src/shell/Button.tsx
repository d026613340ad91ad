import type { ComponentProps } from "react";

const kinds = {
  primary: "h-10 justify-center gap-2 rounded-full bg-accent px-5 text-sm font-medium text-on-accent hover:bg-accent-strong",
  plain: "h-10 justify-center gap-2 rounded-full border border-line-strong px-5 text-sm font-medium hover:bg-hover",
  danger: "h-10 justify-center gap-2 rounded-full bg-danger px-5 text-sm font-medium text-on-danger hover:opacity-90",
  icon: "size-8 justify-center rounded-lg text-faint hover:bg-hover hover:text-ink",
  round: "size-9 justify-center rounded-full enabled:hover:opacity-90",
  text: "h-7 gap-1.5 rounded-lg px-2 text-xs font-medium text-faint hover:bg-hover hover:text-ink",
  row: "w-full gap-2.5 rounded-lg px-3 py-2 text-left text-sm hover:bg-hover",
};

type Props = ComponentProps<"button"> & { kind?: keyof typeof kinds; label?: string | undefined };

/** A button; one that has only an icon needs a `label`. */
export function Button({ kind = "plain", label, className = "", ...props }: Props) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`button transition-colors ${kinds[kind]} ${className}`}
      {...props}
    />
  );
}
