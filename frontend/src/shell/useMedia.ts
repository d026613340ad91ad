import { useCallback, useSyncExternalStore } from "react";

/** Whether a media query holds now. */
export function useMedia(query: string): boolean {
  const subscribe = useCallback((changed: () => void) => {
    const list = window.matchMedia(query);
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [query]);
  return useSyncExternalStore(subscribe, () => window.matchMedia(query).matches);
}

const onLine = (changed: () => void) => {
  const end = new AbortController();
  for (const event of ["online", "offline"]) window.addEventListener(event, changed, { signal: end.signal });
  return () => end.abort();
};

/** Whether the browser has a network at all. */
export const useOnline = (): boolean => useSyncExternalStore(onLine, () => navigator.onLine);
