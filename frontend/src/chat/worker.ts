import { Hub } from "./hub";

// The SharedWorker: one hub for all tabs of this browser.
const hub = new Hub();
self.addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (port) hub.connect(port);
});
