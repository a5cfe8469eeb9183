// Before anything is drawn, so that a dark page does not begin with a white one.
try {
  const { theme } = JSON.parse(localStorage.getItem("agentrun.preferences")) ?? {};
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // As the system has it.
}
