/** What a button does that then goes away: whoever goes by keyboard goes on from where messages are written. */
export const thenWrite = (act: () => unknown) => (): void => {
  void act();
  // On a touch screen the keyboard would cover half of what one came to read.
  if (!window.matchMedia("(pointer: coarse)").matches) document.querySelector("textarea")?.focus();
};

/** What had the focus is deleted: whoever goes by keyboard goes on from here. */
export function focusIfLost(element: HTMLElement | null): void {
  if (document.activeElement === document.body) element?.focus();
}
