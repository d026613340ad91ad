import { useState } from "react";

export type Theme = "system" | "light" | "dark";

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

/** The theme that was chosen, and how to go on to the next one. /static/theme.js sets it before the first paint. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(() => (document.documentElement.dataset["theme"] as Theme | undefined) ?? "system");
  const turn = () => {
    const next = NEXT[theme];
    setTheme(next);
    try {
      if (next === "system") localStorage.removeItem("parley.theme");
      else localStorage.setItem("parley.theme", next);
    } catch {
      // Then it holds for this visit.
    }
    if (next === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = next;
  };
  return [theme, turn];
}
