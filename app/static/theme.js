// Before the first paint, so that a chosen theme does not flash in the other one. Read by the browser client too.
try {
  const theme = JSON.parse(localStorage.getItem("parley.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, or with nonsense in it, the system's theme it is.
}
