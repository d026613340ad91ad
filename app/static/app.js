// The chat at /. The server's events are the only source of what is shown: what this page sends comes back as one.
"use strict";

const $ = (id) => document.getElementById(id);
const AGAIN = "Connecting again …";
const KINDS = ["reset", "accepted", "started", "delta", "completed", "stopped", "failed"];

let conversation = location.hash.slice(1); // its id; in the address, so that a reload finds it
let stream = null; // the EventSource
let position = null; // the id of the newest event that is shown
let turn = null; // what runs: {message_id, reply_id, text}
let pending = []; // ids of the messages that wait
let reopening = null;

const api = async (path, options = {}) => {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const response = await fetch(`/api/${path}`, { ...options, headers });
  const body = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(body.detail || response.statusText), { status: response.status, fields: body.fields });
  return body;
};
const post = (path, body) => api(path, { method: "POST", body: JSON.stringify(body) });
const path = (rest = "") => `conversations/${conversation}${rest}`;

// crypto.randomUUID is missing on plain http; an id of the client's makes sending again harmless.
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

// --- drawing ---

const shown = (id) => document.getElementById(`m-${id}`);

function draw(message, state = "", kind = "") {
  const at_end = $("messages").scrollHeight - $("messages").scrollTop - $("messages").clientHeight < 80;
  let box = shown(message.id);
  if (!box) {
    box = document.createElement("article");
    box.id = `m-${message.id}`;
    for (const part of ["text", "state"]) box.append(Object.assign(document.createElement("div"), { className: part }));
    // A reply follows its message, also when others wait by now.
    const question = shown(message.reply_to);
    question ? question.after(box) : $("messages").append(box);
  }
  box.className = `message ${message.role} ${kind}`;
  box.firstChild.textContent = message.text;
  box.lastChild.textContent = state;
  if (at_end) $("messages").scrollTop = $("messages").scrollHeight;
  return box;
}

function drawReply(reply) {
  const states = { completed: "", stopped: "stopped", failed: reply.failure?.detail || "no reply" };
  const box = draw(reply, states[reply.status], reply.status);
  if (reply.status === "completed") return;
  const again = Object.assign(document.createElement("button"), { type: "button", textContent: "Try again" });
  again.onclick = () => attempt(() => post(path(`/messages/${reply.reply_to}/retry`), { reply_id: reply.id }));
  box.lastChild.append(again);
}

function drawTurn() {
  draw({ id: turn.reply_id, reply_to: turn.message_id, role: "bot", text: turn.text }, "", "running");
  $("stop").hidden = false;
}

function drawAll(snapshot) {
  $("messages").replaceChildren();
  for (const message of snapshot.messages) message.role === "bot" ? drawReply(message) : draw(message);
  for (const message of snapshot.pending) draw(message, "waiting");
  pending = snapshot.pending.map((message) => message.id);
  turn = snapshot.turn;
  if (turn) drawTurn();
}

// --- events ---

const on = {
  reset: drawAll,
  accepted({ message, retry }) {
    // A retry takes the old reply away.
    if (retry) shown(message.id)?.nextElementSibling?.remove();
    pending.push(message.id);
    draw(message, "waiting");
  },
  started({ message_id, reply_id }) {
    turn = { message_id, reply_id, text: "" };
    pending = pending.filter((id) => id !== message_id);
    shown(message_id).lastChild.textContent = "";
    drawTurn();
  },
  delta({ reply_id, text, offset }) {
    if (turn?.reply_id !== reply_id || offset !== turn.text.length) return open(null); // a hole: draw anew
    turn.text += text;
    drawTurn();
  },
  completed: end,
  stopped(event) {
    if (!event.withdrawn) return end(event);
    pending = pending.filter((id) => id !== event.message_id);
    const message = shown(event.message_id);
    message.lastChild.textContent = event.restored ? "" : "withdrawn";
    if (event.restored) drawReply(event.restored);
  },
  failed: end,
};

function end({ message }) {
  turn = null;
  drawReply(message);
}

function open(after) {
  stream?.close();
  clearTimeout(reopening);
  position = after;
  stream = new EventSource(`/api/${path("/events")}${after ? `?after=${after}` : ""}`);
  stream.onopen = () => $("notice").textContent === AGAIN && notice("");
  for (const kind of KINDS) {
    stream.addEventListener(kind, (event) => {
      position = event.lastEventId;
      on[kind](JSON.parse(event.data));
      $("stop").hidden = !turn && !pending.length;
    });
  }
  stream.addEventListener("gone", gone);
  // EventSource comes back by itself after a lost line, but gives up after a refusal, and does not say which.
  stream.onerror = () => {
    notice(AGAIN);
    if (stream.readyState === EventSource.CLOSED) reopening = setTimeout(reopen, 1000);
  };
}

async function reopen() {
  try {
    await api(path());
  } catch (error) {
    if (error.status === 404) return gone();
  }
  open(position);
}

function gone() {
  stream.close();
  conversation = "";
  history.replaceState(null, "", location.pathname);
  $("stop").hidden = true;
  notice("This conversation has ended. Your next message begins a new one.");
}

// --- what the person does ---

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    notice(Object.values(error.fields ?? {}).flat().join(" ") || error.message);
    throw error;
  }
}

// What was not taken in yet, as far as we know: the same text again goes under the same id.
let unsent = {};

async function send(text) {
  if (!conversation) {
    $("messages").replaceChildren();
    conversation = (await post("conversations", {})).id;
    history.replaceState(null, "", `#${conversation}`);
    open(null);
  }
  if (unsent.text !== text) unsent = { text, id: newId() };
  await post(path("/messages"), unsent);
  unsent = {};
  notice("");
}

$("compose").onsubmit = async (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim() || $("send").disabled) return;
  $("send").disabled = true;
  // The text stays where it is until the server has it.
  await attempt(() => send(text)).then(() => ($("text").value = ""), () => {});
  $("send").disabled = false;
  $("text").focus();
};
$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $("compose").requestSubmit();
};
$("stop").onclick = () => attempt(() => post(path(`/messages/${turn?.message_id ?? pending.at(-1)}/stop`))).catch(() => {});
$("new").onclick = () => location.assign(location.pathname);

api("config").then((config) => {
  $("model").textContent = config.model;
  $("demo").hidden = !config.demo;
}, () => {});
if (conversation) open(null);
