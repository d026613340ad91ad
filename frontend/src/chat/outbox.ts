import { api, asProblem, newId } from "../api";
import { load, names, save } from "../storage";
import { say } from "../texts";

const AGAIN_MS = 3000;
// Longer than a request may take: a tab that was frozen must not keep the others from posting.
const TURN_MAX_MS = 20_000;
const SENT_KEPT_MS = 86_400_000;
// No conversation's address could hold it.
const NEW = "new/";

/** A message of this browser, from the moment it is sent until its turn has ended. */
export interface Outgoing {
  id: string;
  /** Its conversation, or the name of the new chat that begins with it. */
  chat: string;
  /** The account that wrote it, or "" for a guest. */
  owner: string;
  text: string;
  at: string;
  state: "sending" | "sent" | "failed";
  problem?: string;
}

/** What messages wait for before they can be sent. */
export type Held = "network" | "login" | null;

/** A name for a chat that has no conversation yet, with the id that this will have. */
export const newChat = (): string => NEW + newId();
export const isNew = (chat: string): boolean => chat.startsWith(NEW);

/** What this browser has sent, in all chats: kept until it is answered, and posted by one tab at a time. */
export class Outbox {
  /** Whose messages are sent; "" for a guest's. */
  owner = load<string>("account", "");
  /** It is known who this is; a guest's new conversations could not be noted before. */
  ready = false;
  held: Held = null;
  /** A message was taken in, so the list of conversations is no longer what it was. */
  onSent: (chat: string, text: string) => void = () => undefined;
  onChange: () => void = () => undefined;
  /** Whether it is the session that has ended, when a conversation cannot be found. */
  signedOut = (): Promise<boolean> => Promise.resolve(false);
  private posting = false;
  private again: ReturnType<typeof setTimeout> | undefined;

  /** What waits, the oldest first. It is read anew each time, as other tabs change it too. */
  mine(): Outgoing[] {
    const kept = names("outbox.").map((name) => load<Outgoing | "">(name, "")).filter((out) => out !== "");
    return kept.filter(({ owner }) => !owner || owner === this.owner).sort((one, two) => one.at.localeCompare(two.at));
  }

  of = (chat: string): Outgoing[] => this.mine().filter((out) => out.chat === chat);

  add(chat: string, text: string): void {
    const out: Outgoing = { id: newId(), chat, owner: this.owner, text, at: new Date().toISOString(), state: "sending" };
    save(`outbox.${out.id}`, out);
    this.onChange();
    void this.post();
  }

  change(id: string, to: Partial<Outgoing>): void {
    const out = load<Outgoing | "">(`outbox.${id}`, "");
    if (out) save(`outbox.${id}`, { ...out, ...to });
    this.onChange();
  }

  drop(id: string): void {
    save(`outbox.${id}`, null);
    this.onChange();
  }

  /** A new chat has got its conversation. */
  move(chat: string, id: string): void {
    for (const out of this.of(chat)) this.change(out.id, { chat: id });
  }

  /** Post what waits to be posted, one after the other, so that the order holds. */
  async post(): Promise<void> {
    if (this.posting || !this.ready) return;
    this.posting = true;
    await inTurn(async () => {
      let held: Held = null;
      for (let next; !held && (next = this.mine().find(({ state }) => state === "sending")); ) held = await this.postOne(next);
      [this.held, this.posting] = [held, false];
      clearTimeout(this.again);
      if (this.held === "network") this.again = setTimeout(() => void this.post(), AGAIN_MS);
      this.onChange();
    });
  }

  /** Post a message. Returns what it must wait for first. */
  private async postOne(out: Outgoing): Promise<Held> {
    const { id, text } = out;
    try {
      const chat = isNew(out.chat) ? await this.begin(out) : out.chat;
      const { outcome } = await api<{ outcome: string }>("POST", `/conversations/${chat}/messages`, { id, text });
      if (outcome === "withdrawn" || outcome === "finished") this.drop(id);
      else this.change(id, { state: "sent" });
      this.onSent(chat, text);
    } catch (error) {
      const problem = asProblem(error);
      if (problem.passing) return "network";
      if ([401, 404].includes(problem.status) && (await this.signedOut())) return "login";
      this.change(id, { state: "failed", problem: problem.fields["text"]?.join(" ") ?? say(problem) });
    }
    return null;
  }

  /** Make the conversation of a new chat, under the id in its name: again, should the answer have been lost. */
  private async begin({ chat }: Outgoing): Promise<string> {
    const id = chat.slice(NEW.length);
    // The owner is named, so that nothing of an account becomes a guest's when its session has ended unnoticed.
    await api("POST", "/conversations", { id, ...(this.owner && { account: this.owner }) });
    this.move(chat, id);
    return id;
  }
}

/** Do it when no other tab does. Plain http has no locks; posting twice is harmless, as the id stays the same. */
const inTurn = (work: () => Promise<void>): Promise<void> =>
  "locks" in navigator ? navigator.locks.request("parley.outbox", { signal: AbortSignal.timeout(TURN_MAX_MS) }, work).catch(work) : work();

export const outbox = new Outbox();
window.addEventListener("online", () => void outbox.post());
window.addEventListener("storage", ({ key }) => {
  if (!key?.includes("outbox")) return;
  outbox.onChange();
  // Should the other tab be closed before it can post a message, this one does.
  if ("locks" in navigator) void outbox.post();
});
// Of a message whose conversation was never opened again nobody has told how it went.
for (const { id, at, state } of outbox.mine()) if (state === "sent" && Date.now() - Date.parse(at) > SENT_KEPT_MS) outbox.drop(id);
