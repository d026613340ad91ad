import { useState } from "react";

export type Theme = "system" | "light" | "dark";

/** The theme that was chosen, and how to choose another. /static/theme.js sets it before the first paint. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(() => (document.documentElement.dataset["theme"] as Theme | undefined) ?? "system");
  const choose = (next: Theme) => {
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
  return [theme, choose];
}
