import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { wakeWithTheBrowser } from "./chat/line";
import { loadMarkdown } from "./chat/Reply";
import { Boundary } from "./shell/Boundary";
import { Button } from "./shell/Button";
import { Logo } from "./shell/Logo";
import "./styles.css";
import { language, t } from "./texts";

/** What is left when drawing fails: everything is stored, so a reload brings it back. */
const broken = (error: unknown) => (
  <main role="alert" className="grid h-full place-content-center justify-items-center gap-3 px-6 text-center">
    <Logo size={44} />
    <h1 className="text-lg font-semibold">{t.broken}</h1>
    <p className="mb-2 text-sm text-faint">{t.brokenText}<br />{String(error)}</p>
    <Button kind="primary" onClick={() => location.reload()}>{t.reload}</Button>
  </main>
);

document.documentElement.lang = language;
wakeWithTheBrowser();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><Boundary instead={broken}><App /></Boundary></StrictMode>);
// The first reply shall not wait for it.
setTimeout(() => void loadMarkdown(), 300);
