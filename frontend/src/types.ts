// What the server's API speaks of; docs/api.md explains the fields.

export interface Failure {
  code: string;
  detail: string;
  retryable: boolean;
}

export interface Message {
  id: string;
  role: "human" | "bot";
  text: string;
  at: string;
  reply_to?: string;
  status?: "completed" | "stopped" | "failed";
  timing?: { waited_ms?: number; first_text_ms?: number; total_ms?: number };
  failure?: Failure;
}

export interface Turn {
  message_id: string;
  reply_id: string;
  attempt: number;
  text: string;
}

export interface Snapshot {
  id: string;
  title: string | null;
  messages: Message[];
  total: number;
  pending: Message[];
  turn: Turn | null;
  position: string;
}

/** An event of a conversation; `id` is its position, which `gone` and `login` have not. */
export type ChatEvent = { id?: string } & (
  | { type: "reset"; data: Snapshot }
  | { type: "accepted"; data: { message: Message; position: number; retry?: boolean } }
  | { type: "started"; data: { message_id: string; reply_id: string; attempt: number } }
  | { type: "delta"; data: { reply_id: string; text: string; offset: number } }
  | { type: "completed"; data: { message: Message } }
  | { type: "stopped"; data: { message: Message } | { message_id: string; withdrawn: true; restored?: Message } }
  | { type: "failed"; data: { message: Message } & Failure }
  | { type: "gone" | "login"; data: object }
);

export const EVENT_TYPES: ChatEvent["type"][] = ["reset", "accepted", "started", "delta", "completed", "stopped", "failed", "gone", "login"];

export interface Config {
  demo: boolean;
  limits: { message_max_chars: number; chat_ttl_s: number };
  registration: "open" | "closed";
  /** Who is logged in. */
  account: string | null;
}

export interface Listed {
  id: string;
  title: string | null;
  last_at: string;
  excerpt?: string;
}
