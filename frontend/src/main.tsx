import { Component, StrictMode, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { wakeWithTheBrowser } from "./chat/line";
import { loadMarkdown } from "./chat/Reply";
import { Button } from "./shell/Button";
import "./styles.css";
import { language, t } from "./texts";

/** What is left when drawing fails: everything is stored, so a reload brings it back. */
class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };
  static getDerivedStateFromError = () => ({ broken: true });

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <main className="grid h-full place-content-center gap-4 text-center">
        <h1>{t.broken}</h1>
        <Button kind="primary" onClick={() => location.reload()}>{t.reload}</Button>
      </main>
    );
  }
}

document.documentElement.lang = language;
wakeWithTheBrowser();
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <Boundary>
        <App />
      </Boundary>
    </StrictMode>,
  );
// The first reply shall not wait for it.
setTimeout(() => void loadMarkdown(), 300);
