// What stands beside the conversation: views of what the page and the agent did, one of which is seen.

import { iconButton, make } from "./elements.js";
import { inEachLanguage, words } from "./words.js";

// How far a key leads, from one tab to another one of so many.
const STEPS = { ArrowRight: (at, count) => (at + 1) % count, ArrowLeft: (at, count) => (at + count - 1) % count, Home: () => 0, End: (_, count) => count - 1 };

/**
 * Each view has a `label`, which names the words of the page, `build(panel)` and `actions()` for its buttons, and is
 * told with `seen` whether somebody looks at it.
 */
export class Drawer {
  constructor(element, views, { onclose }) {
    this.element = element;
    this._views = views;
    this._view = views[0];
    this._onclose = onclose;
    inEachLanguage(() => this._build());
  }

  toggle(open = this.element.hidden) {
    this.element.hidden = !open;
    this._tell();
  }

  choose(view, { takesFocus = false } = {}) {
    this._view = view;
    this._reflect();
    this._tell();
    if (takesFocus) this._tabs[this._views.indexOf(view)].focus();
  }

  _build() {
    this.element.setAttribute("aria-label", words("drawer"));
    this._tabs = this._views.map((view) => this._tab(view));
    this._panels = this._views.map((view) => this._panel(view));
    this._actions = make("div", { class: "drawer-actions" });
    const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": words("drawer"), onkeydown: (event) => this._step(event) }, ...this._tabs);
    const close = iconButton("close", words("close"), () => this._onclose());
    this.element.replaceChildren(make("div", { class: "drawer-top" }, tabs, this._actions, close), ...this._panels);
    this._reflect();
    this._tell();
  }

  _tab(view) {
    const { label } = view;
    return make("button", { type: "button", class: "tab", role: "tab", id: `tab-${label}`, "aria-controls": `panel-${label}`, onclick: () => this.choose(view) }, words(label));
  }

  _panel(view) {
    const panel = make("div", { class: "drawer-body", tabIndex: 0, role: "tabpanel", id: `panel-${view.label}`, "aria-labelledby": `tab-${view.label}` });
    view.build(panel);
    return panel;
  }

  _reflect() {
    this._views.forEach((view, index) => {
      const isChosen = view === this._view;
      this._tabs[index].setAttribute("aria-selected", String(isChosen));
      this._tabs[index].tabIndex = isChosen ? 0 : -1;
      this._panels[index].hidden = !isChosen;
    });
    this._actions.replaceChildren(...this._view.actions());
  }

  _tell() {
    for (const view of this._views) view.seen(view === this._view && !this.element.hidden);
  }

  _step(event) {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.choose(this._views[step(this._views.indexOf(this._view), this._views.length)], { takesFocus: true });
  }
}
