import { createContext, memo, useContext, useId, useMemo, useState, type ComponentProps } from "react";
import ReactMarkdown, { type Components, type ExtraProps } from "react-markdown";
import remarkGfm from "remark-gfm";
import { isOpenFence, splitter } from "./blocks";
import { t } from "../texts";
import { Code } from "./Code";

const plugins = [remarkGfm];
// A footnote or the address of a reference, which another block may name.
const DEFINITION = /^[ >]*\[[^\]\n]+\]:/m;

/** A reply. `growing`: more is to come. Finished blocks are drawn once, however long the reply becomes. */
export default function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const [split] = useState(splitter);
  const blocks = growing || !DEFINITION.test(text) ? split(text) : [text];
  return (
    <div className={`markdown ${growing ? "growing" : ""}`}>
      {blocks.map((block, index) => (
        <Block key={index} text={block} growing={growing && index === blocks.length - 1} />
      ))}
    </div>
  );
}

const Block = memo(function Block({ text, growing }: { text: string; growing: boolean }) {
  const id = useId();
  // Footnotes of two replies must not have the same address.
  const options = useMemo(() => ({ clobberPrefix: id, footnoteLabel: t.footnotes, footnoteBackLabel: t.back }), [id]);
  return (
    <Growing value={growing ? text : ""}>
      <ReactMarkdown remarkPlugins={plugins} remarkRehypeOptions={options} components={safe}>
        {text}
      </ReactMarkdown>
    </Growing>
  );
});

// A context, not a property: a component made anew for each piece would lose focus, selection and scroll position.
const Growing = createContext("");

function Fence({ node, children }: ComponentProps<"pre"> & ExtraProps) {
  const text = useContext(Growing);
  const open = text !== "" && node?.position?.end.offset === text.length && isOpenFence(text.slice(node.position.start.offset));
  const { className = "", children: code = "" } = (children as { props: { className?: string; children?: string } }).props;
  return <Code code={code.replace(/\n$/, "")} language={/language-(\S+)/.exec(className)?.[1] ?? ""} open={open} />;
}

// react-markdown shows raw HTML as text and drops javascript: addresses. An image's address could carry what was
// said here to a stranger, so only its description is shown.
const safe: Components = {
  a: ({ href, id, "aria-label": label, children }) =>
    href?.startsWith("#") ? <a href={href} id={id} aria-label={label}>{children}</a>
    : href ? <a href={href} target="_blank" rel="noopener noreferrer nofollow">{children}</a>
    : <>{children}</>,
  pre: Fence,
  img: ({ alt }) => <em>[{alt || t.image}]</em>,
  table: ({ children }) => (
    <div tabIndex={0} role="group" className="my-4 overflow-x-auto">
      <table>{children}</table>
    </div>
  ),
  input: ({ checked }) => <span aria-hidden="true">{checked ? "☑" : "☐"} </span>,
};
