import { useCallback, useEffect, useRef, useState } from "react";

const NEAR_PX = 60;

/** Keeps a scrolled box at its end while its content grows, until somebody scrolls up. */
export function useStickToEnd() {
  const boxRef = useRef<HTMLDivElement>(null);
  const contentRef = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const stuck = useRef(true);

  useEffect(() => {
    const box = boxRef.current, content = contentRef.current;
    if (!box || !content) return;
    let top = box.scrollTop;
    const look = () => {
      const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
      // Content that grows takes the end away without any scrolling; only who goes up lets go.
      if (box.scrollTop < top && !near) stuck.current = false;
      else if (near) stuck.current = true;
      top = box.scrollTop;
      setAway(!near && !stuck.current);
    };
    const follow = new ResizeObserver(() => {
      if (stuck.current) box.scrollTop = box.scrollHeight;
      look();
    });
    follow.observe(content);
    follow.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    return () => {
      follow.disconnect();
      box.removeEventListener("scroll", look);
    };
  }, []);

  const jump = useCallback(() => {
    stuck.current = true;
    boxRef.current?.scrollTo({ top: boxRef.current.scrollHeight });
  }, []);

  /** Keep what is read where it is while something comes in above it. */
  const hold = useCallback(async (change: () => Promise<void>) => {
    const box = boxRef.current;
    const below = box ? box.scrollHeight - box.scrollTop : 0;
    await change();
    requestAnimationFrame(() => box?.scrollTo({ top: box.scrollHeight - below }));
  }, []);

  return { boxRef, contentRef, away, jump, hold };
}
