import { load, names, save } from "../storage";
import type { Listed } from "../types";

// How many conversations the server takes over at a login.
const KEPT_MAX = 100;
const TITLE_MAX_CHARS = 60;

/** A guest's conversations, which only this browser knows; `used_at` is when one was last read. */
type Known = Listed & { used_at?: string };

/** The newest first. Each is kept on its own: of one list, tabs that write at the same time would lose each other's. */
export const known = (): Known[] =>
  names("guest.").map(one).filter((found) => found !== "").sort((a, b) => b.last_at.localeCompare(a.last_at));

const one = (name: string) => load<Known | "">(name, "");

/** Those that the server still has, as far as this browser can tell, and of them those with this in their titles. */
export function living(query: string, ttl_s: number): Listed[] {
  const since = (one: Known) => Date.now() - Date.parse(one.used_at ?? one.last_at);
  return known().filter((one) => since(one) < ttl_s * 1000 && (one.title ?? "").toLowerCase().includes(query.toLowerCase()));
}

/** Note a conversation as the newest, under a title like the one the server makes. */
export function remember(id: string, text: string): void {
  const line = text.replace(/\s+/g, " ").trim();
  const made = line.length > TITLE_MAX_CHARS ? `${line.slice(0, TITLE_MAX_CHARS).replace(/ \S*$/, "")} …` : line;
  const before = one(`guest.${id}`);
  save(`guest.${id}`, { id, title: (before ? before.title : null) ?? made, last_at: new Date().toISOString() });
  for (const old of known().slice(KEPT_MAX)) forget(old.id);
}

export function change(id: string, to: Partial<Known>): void {
  const found = one(`guest.${id}`);
  if (found) save(`guest.${id}`, { ...found, ...to });
}

/** Note that a conversation is being read, which keeps it as sending does. Returns how to end that. */
export function noteReading(id: string, ttl_s: number): () => void {
  const note = () => change(id, { used_at: new Date().toISOString() });
  note();
  // Ten times in its life.
  const timer = setInterval(note, ttl_s * 100);
  return () => clearInterval(timer);
}

export const forget = (id: string): void => save(`guest.${id}`, null);
