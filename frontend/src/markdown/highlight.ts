import type { LanguageFn } from "highlight.js";
import { createLowlight } from "lowlight";

const files = import.meta.glob<LanguageFn>(
  "/node_modules/highlight.js/es/languages/{bash,c,cpp,css,diff,go,java,javascript,json,markdown,python,rust,sql,typescript,xml,yaml}.js",
  { eager: true, import: "default" },
);
const lowlight = createLowlight();
for (const [path, language] of Object.entries(files)) lowlight.register(path.slice(path.lastIndexOf("/") + 1, -".js".length), language);

export type Colored = ReturnType<typeof lowlight.highlight>;

/** The code as a tree of classes, or null for a language that we do not have. */
export const highlight = (language: string, code: string): Colored | null =>
  lowlight.registered(language) ? lowlight.highlight(language, code) : null;
