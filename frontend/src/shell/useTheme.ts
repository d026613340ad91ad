import { useState } from "react";
import { save } from "../storage";

export type Theme = "system" | "light" | "dark";

/** The theme that was chosen, and how to choose another. /static/theme.js sets it before the first paint. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const { dataset } = document.documentElement;
  const [theme, setTheme] = useState(() => (dataset["theme"] ?? "system") as Theme);
  const choose = (next: Theme) => {
    setTheme(next);
    save("theme", next === "system" ? null : next);
    dataset["theme"] = next;
  };
  return [theme, choose];
}
