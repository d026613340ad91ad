import { Download, Ellipsis, FileJson, PanelLeftClose, Pencil, Search, SquarePen, Trash2, X } from "lucide-react";
import { useState, type MouseEvent, type ReactNode, type SyntheticEvent } from "react";
import { t } from "../texts";
import type { Listed } from "../types";
import { Button } from "./Button";
import { Logo } from "./Logo";
import { Menu } from "./Menu";
import type { Conversations } from "./useConversations";

interface Props {
  conversations: Conversations;
  current: string | null;
  isGuest: boolean;
  account: ReactNode;
  onOpen: (id: string | null) => void;
  onRemove: (id: string) => void;
  onHide: () => void;
  inDrawer: boolean;
}

/** Past conversations, and who is here. */
export function Sidebar({ conversations, current, isGuest, account, onOpen, onRemove, onHide, inDrawer }: Props) {
  const { list, looked, query, search, more, showMore } = conversations;
  const Hide = inDrawer ? X : PanelLeftClose;
  return (
    <div className="flex h-full flex-col bg-side">
      <div className="flex h-14 items-center justify-between pr-2 pl-4">
        <span className="flex items-center gap-2.5 font-semibold"><Logo />Parley</span>
        <Button kind="icon" label={inDrawer ? t.close : t.hideMenu} onClick={onHide}>
          <Hide size={18} aria-hidden />
        </Button>
      </div>
      <div className="flex flex-col gap-1 px-2 pb-2">
        <Button kind="row" onClick={() => onOpen(null)}><SquarePen size={16} aria-hidden />{t.newChat}</Button>
        <label className="relative flex items-center rounded-lg focus-within:bg-hover hover:bg-hover">
          <Search size={16} aria-hidden className="absolute left-3" />
          <input
            type="search" value={query} onChange={(event) => search(event.target.value)}
            aria-label={t.search} placeholder={t.search}
            className="h-9 w-full rounded-lg bg-transparent pr-2 pl-[2.375rem] text-sm pointer-coarse:text-base"
          />
        </label>
        {!inDrawer && <Button kind="row" className="not-focus:sr-only" onClick={() => document.querySelector("textarea")?.focus()}>{t.skip}</Button>}
      </div>
      <nav aria-label={t.conversations} className="min-h-0 flex-1 overflow-y-auto px-2 pb-4">
        {grouped(list).map(({ day, items }) => (
          <section key={day}>
            <h2 className="px-3 pt-4 pb-1.5 text-xs font-medium text-faint">{t.days[day]}</h2>
            <ul>
              {items.map((item) => (
                <Row
                  key={item.id} item={item} isCurrent={item.id === current}
                  conversations={conversations} onOpen={onOpen} onRemove={onRemove}
                />
              ))}
            </ul>
          </section>
        ))}
        {looked && !list.length && !more && (query || !current) && <p className="px-3 py-4 text-sm text-faint">{query ? t.noResults : t.noChats}</p>}
        {more && <Button kind="row" className="text-faint" onClick={showMore}>{query ? t.searchOn : t.more}</Button>}
      </nav>
      {isGuest && list.length > 0 && <p className="px-5 pb-2 text-xs text-faint">{t.guestNote}</p>}
      <div className="border-t border-line p-2">{account}</div>
    </div>
  );
}

type RowProps = Pick<Props, "conversations" | "onOpen" | "onRemove"> & { item: Listed; isCurrent: boolean };

function Row({ item: { id, title, excerpt }, isCurrent, conversations, onOpen, onRemove }: RowProps) {
  const [renaming, setRenaming] = useState<boolean | "ended">(false);
  const { query } = conversations;
  const name = title ?? t.untitled;
  if (renaming === true)
    return (
      <Rename title={title ?? ""} onEnd={(next, byKey) => {
        setRenaming(byKey && "ended");
        if (next && next !== title) void conversations.rename(id, next);
      }} />
    );
  const open = (event: MouseEvent) => {
    // With a modifier it opens as any link does, in a tab of its own.
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(id);
  };
  const items = [
    { label: t.rename, icon: Pencil, act: () => setRenaming(true) },
    { label: t.exportMarkdown, icon: Download, act: () => download(id, "markdown") },
    { label: t.exportJson, icon: FileJson, act: () => download(id, "json") },
    { label: t.remove, icon: Trash2, act: () => onRemove(id), danger: true },
  ];
  return (
    <li className={`group relative flex items-center rounded-lg hover:bg-hover ${isCurrent ? "bg-hover" : ""}`}>
      <a
        // Whoever renamed it by keyboard goes on from here.
        ref={renaming ? focus : null} href={`/c/${id}`} onClick={open} aria-current={isCurrent ? "page" : undefined} title={name}
        className="title min-w-0 flex-1 rounded-lg py-2 pl-3 text-sm"
      >
        <span className="block truncate"><Marked text={name} sought={query} /></span>
        {excerpt && excerpt !== name && <span className="block truncate text-xs text-faint"><Marked text={plain(excerpt)} sought={query} /></span>}
      </a>
      <div className={`actions ${isCurrent ? "shown" : ""} absolute right-1`}>
        <Menu label={t.actions(name)} items={items} trigger={<Ellipsis size={16} aria-hidden />} className="size-7!" />
      </div>
    </li>
  );
}

/** A text with what was sought in it marked. */
function Marked({ text, sought }: { text: string; sought: string }) {
  const at = sought ? text.toLowerCase().indexOf(sought.toLowerCase()) : -1;
  if (at < 0) return text;
  const end = at + sought.length;
  return <>{text.slice(0, at)}<mark>{text.slice(at, end)}</mark>{text.slice(end)}</>;
}

/** An excerpt without the marks of markdown. */
const plain = (text: string) => text.replace(/[*`#>|~]+|^\s*[-+] /gm, "");

const focus = (link: HTMLElement | null) => link?.focus();

function Rename({ title, onEnd }: { title: string; onEnd: (title: string, byKey: boolean) => void }) {
  const [text, setText] = useState(title);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    onEnd(text.trim(), true);
  };
  return (
    <li>
      <form onSubmit={submit}>
        <input autoFocus value={text} maxLength={200} aria-label={t.title} onFocus={(event) => event.target.select()}
          onChange={(event) => setText(event.target.value)} onBlur={() => onEnd(text.trim(), false)}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            // In the drawer Escape would close that as well.
            event.preventDefault();
            onEnd("", true);
          }}
          className="my-0.5 h-8 w-full rounded-lg border border-accent bg-raised px-2.5 text-sm pointer-coarse:text-base" />
      </form>
    </li>
  );
}

function download(id: string, format: string): void {
  const href = `/api/conversations/${id}/export?format=${format}`;
  Object.assign(document.createElement("a"), { href, download: "" }).click();
}

type Day = keyof typeof t.days;

/** The list by how long ago it was used, in the order in which it came. */
function grouped(list: Listed[]): { day: Day; items: Listed[] }[] {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const dayOf = ({ last_at }: Listed): Day => {
    const before = (midnight - Date.parse(last_at)) / 86_400_000;
    return before <= 0 ? "today" : before <= 1 ? "yesterday" : before <= 7 ? "week" : "older";
  };
  return [...Map.groupBy(list, dayOf)].map(([day, items]) => ({ day, items }));
}
