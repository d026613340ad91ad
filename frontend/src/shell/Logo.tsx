/** The mark, which the browser's tab shows too. */
export const Logo = ({ size = 26, className = "" }: { size?: number; className?: string }) => <img src="/static/icon.svg" width={size} height={size} alt="" className={className} />;
