/** The mark; the same drawing as app/static/icon.svg. */
export function Logo({ size = 26 }: { size?: number }) {
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} aria-hidden="true">
      <rect width="32" height="32" rx="9" fill="#17624e" />
      <path d="M10 8h12a3 3 0 0 1 3 3v7a3 3 0 0 1-3 3h-6l-5 4.2V21h-1a3 3 0 0 1-3-3v-7a3 3 0 0 1 3-3z" fill="#fff" />
      <path d="M12 13h8M12 16.5h5" stroke="#17624e" strokeWidth="1.7" strokeLinecap="round" />
    </svg>
  );
}
