// What can be chosen: language, appearance, what is sent, the key.

import { iconButton, make } from "./elements.js";
import { preferences, useTheme } from "./preferences.js";
import { LANGUAGE_NAMES, browserLanguage, currentLanguage, speak, words } from "./words.js";

const THEMES = { "": "themeSystem", light: "themeLight", dark: "themeDark" };
const HISTORIES = { "": "historyDefault", always: "historyAlways", never: "historyNever" };

export function openSettings() {
  const dialog = make("dialog", { class: "dialog settings", "aria-labelledby": "settings-title" });
  fill(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function fill(dialog) {
  const languages = Object.entries(LANGUAGE_NAMES);
  const chooseLanguage = (value) => {
    preferences.set("language", value === browserLanguage() ? "" : value);
    speak(value);
    fill(dialog);
    dialog.querySelector("select").focus();
  };
  const chooseTheme = (value) => {
    preferences.set("theme", value);
    useTheme(value);
  };
  const key = make("input", { type: "password", value: preferences.key, autocomplete: "off", oninput: ({ target }) => (preferences.key = target.value.trim()) });
  dialog.replaceChildren(
    make("div", { class: "dialog-top" }, make("h2", { id: "settings-title" }, words("settings")), iconButton("close", words("close"), () => dialog.close())),
    labelled("language", choice(languages, currentLanguage(), chooseLanguage)),
    labelled("theme", choice(inWords(THEMES), preferences.get("theme"), chooseTheme)),
    labelled("history", choice(inWords(HISTORIES), preferences.get("history"), (value) => preferences.set("history", value)), "historyHint"),
    make("form", { onsubmit: (event) => event.preventDefault() }, labelled("key", key, "keyHint")),
  );
}

function inWords(names) {
  return Object.entries(names).map(([value, name]) => [value, words(name)]);
}

export function choice(options, chosen, onchoose, properties = {}) {
  const select = make("select", { onchange: ({ target }) => onchoose(target.value), ...properties });
  select.append(...options.map(([value, label]) => make("option", { value, selected: value === chosen }, label)));
  return select;
}

function labelled(name, control, hint) {
  control.id = `setting-${name}`;
  const parts = [make("label", { htmlFor: control.id }, words(name)), control];
  if (hint) {
    parts.push(make("p", { class: "hint", id: `${control.id}-hint` }, words(hint)));
    control.setAttribute("aria-describedby", `${control.id}-hint`);
  }
  return make("div", { class: "setting" }, ...parts);
}
