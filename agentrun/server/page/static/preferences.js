// What somebody chose. An access key is kept only as long as the tab.

const PLACE = "agentrun.preferences";
const KEY = "agentrun.key";

function read() {
  try {
    return JSON.parse(localStorage.getItem(PLACE)) ?? {};
  } catch {
    return {};
  }
}

export const preferences = {
  get(name) {
    return read()[name] ?? "";
  },
  set(name, value) {
    try {
      localStorage.setItem(PLACE, JSON.stringify({ ...read(), [name]: value }));
    } catch {
      // It holds until the page is loaded again.
    }
  },
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
};

/** Light, dark, or with an empty name as the system has it. */
export function useTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}
