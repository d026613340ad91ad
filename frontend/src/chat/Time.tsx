import { clock, moment } from "../texts";

/** A time of day, with the date where it is another day's. */
export function Time({ at }: { at: string }) {
  return (
    <time dateTime={at} title={moment(at)} className="px-1 text-xs text-faint">
      {clock(at)}
    </time>
  );
}
