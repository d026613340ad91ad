import { load, save } from "../storage";
import type { Listed } from "../types";

// How many conversations the server takes over at a login.
export const KEPT_MAX = 100;
const TITLE_MAX_CHARS = 60;
const NOTES_PER_LIFE = 10;

/** A guest's conversations, which only this browser knows; `used_at` is when one was last read. */
type Known = Listed & { used_at?: string };

export const known = (): Known[] => load<Known[]>("guest", []);

/** Those that the server still has, as far as this browser can tell, and of them those with this in their titles. */
export function living(query: string, ttl_s: number): Listed[] {
  const since = (one: Known) => Date.now() - Date.parse(one.used_at ?? one.last_at);
  return known().filter((one) => since(one) < ttl_s * 1000 && (one.title ?? "").toLowerCase().includes(query.toLowerCase()));
}

/** Note a conversation as the newest, under a title like the one the server makes. */
export function remember(id: string, text: string): void {
  const line = text.replace(/\s+/g, " ").trim();
  const made = line.length > TITLE_MAX_CHARS ? `${line.slice(0, TITLE_MAX_CHARS).replace(/ \S*$/, "")} …` : line;
  const title = known().find((one) => one.id === id)?.title ?? made;
  save("guest", [{ id, title, last_at: new Date().toISOString() }, ...without(id)].slice(0, KEPT_MAX));
}

export const change = (id: string, to: Partial<Known>): void =>
  save("guest", known().map((one) => (one.id === id ? { ...one, ...to } : one)));

/** Note that a conversation is being read, which keeps it as sending does. Returns how to end that. */
export function noteReading(id: string, ttl_s: number): () => void {
  const note = () => change(id, { used_at: new Date().toISOString() });
  note();
  const timer = setInterval(note, (ttl_s * 1000) / NOTES_PER_LIFE);
  return () => clearInterval(timer);
}

export const forget = (id: string): void => save("guest", without(id));

const without = (id: string) => known().filter((one) => one.id !== id);
