// A chat as clients of Django Channels are written: one component, one WebSocket, the whole history in its state. Each
// frame holds the reply so far and takes the place of the last entry's text.
import { useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

function Chat({ name }) {
  const [history, setHistory] = useState([]);
  const [draft, setDraft] = useState("");
  const [status, setStatus] = useState("connecting");
  const socket = useRef(null);

  useEffect(() => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const ws = new WebSocket(`${scheme}://${location.host}/ws/chat/llm/${name}/`);
    socket.current = ws;
    ws.onopen = () => setStatus("connected");
    ws.onclose = (event) => setStatus(`closed: ${event.code} ${event.reason}`);
    ws.onmessage = (event) => {
      const { message } = JSON.parse(event.data);
      setHistory((before) => {
        const last = before.length - 1;
        if (last < 0 || before[last].role !== "ai") return [...before, { role: "ai", content: message }];
        return [...before.slice(0, last), { role: "ai", content: message }];
      });
    };
    return () => ws.close();
  }, [name]);

  const send = (event) => {
    event.preventDefault();
    const asked = [...history, { role: "user", content: draft }];
    socket.current.send(JSON.stringify({ history: asked }));
    setHistory([...asked, { role: "ai", content: "" }]);
    setDraft("");
  };

  return (
    <main>
      <p role="status">{status}</p>
      <ol>
        {history.map((entry, n) => (
          <li key={n} className={entry.role}>
            {entry.content}
          </li>
        ))}
      </ol>
      <form onSubmit={send}>
        <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} />
      </form>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat name="from_the_page" />);
