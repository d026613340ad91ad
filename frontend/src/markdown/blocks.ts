import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";

const options = { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] };

interface Blocks {
  text: string;
  /** Where each block of the text begins. */
  starts: number[];
}

const NONE: Blocks = { text: "", starts: [] };

/**
 * Split markdown into its top-level blocks. Of a text that goes on from `before`, only what follows the start of
 * its last block is parsed: what comes later changes no earlier block, so a long reply costs no more than a short one.
 */
function split(text: string, before: Blocks = NONE): Blocks {
  if (text === before.text) return before;
  const last = text.startsWith(before.text) ? before.starts.at(-1) ?? 0 : 0;
  const kept = last ? before.starts.slice(0, -1) : [];
  const { children } = fromMarkdown(text.slice(last), options);
  const starts = children.map(({ position }) => last + (position?.start.offset ?? 0));
  // The first block of what was parsed begins where it began, also when only white space is left of it.
  return { text, starts: [...kept, ...(last ? [last] : starts.slice(0, 1)), ...starts.slice(1)] };
}

const pieces = ({ text, starts }: Blocks): string[] =>
  starts.map((start, index) => text.slice(start, starts[index + 1]).trimEnd());

/** A function that splits a text into blocks, and remembers how, for when the text has grown. */
export function splitter(): (text: string) => string[] {
  let known = NONE;
  return (text) => pieces((known = split(text, known)));
}

/** Whether a block, of which lists and quotes may be around it, is a code fence that nothing closes yet. */
export function isOpenFence(block: string): boolean {
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(block)?.[1];
  if (!fence) return false;
  const last = block.slice(block.lastIndexOf("\n") + 1).replace(/^[> ]+/, "");
  return !block.includes("\n") || !(last.length >= fence.length && last === fence.charAt(0).repeat(last.length));
}
