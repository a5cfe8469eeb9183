// The list of conversations.

import { icon, iconButton, make } from "./elements.js";
import { inEachLanguage, words } from "./words.js";

export class Sidebar {
  constructor(element, sessions, { onopen, onnew, onhide }) {
    this.element = element;
    this._sessions = sessions;
    this._onopen = onopen;
    this._onnew = onnew;
    this._onhide = onhide;
    this._current = "";
    sessions.addEventListener("change", () => this.show());
    inEachLanguage(() => this.show());
  }

  set current(id) {
    this._current = id;
    this.show();
  }

  show() {
    // Who renames one is not to be disturbed.
    if (this.element.querySelector("input")) return;
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    this.element.setAttribute("aria-label", words("conversations"));
    const create = make("button", { type: "button", class: "button wide", onclick: () => this._onnew() }, icon("plus"), words("newConversation"));
    const hide = iconButton("close", words("hideConversations"), () => this._onhide(), { class: "icon-button hide-sidebar" });
    const list = make("ul", { class: "sessions" }, ...this._sessions.list().map((each) => this._entry(each)));
    this.element.replaceChildren(make("div", { class: "sidebar-top" }, create, hide), list);
    if (focused) this.element.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  _entry({ id, title }) {
    const name = title || words("untitled");
    const isCurrent = id === this._current;
    const open = make("button", { type: "button", class: "session-name", title: name, "data-key": `open-${id}`, "aria-current": isCurrent ? "page" : undefined, onclick: () => this._onopen(id) }, name);
    const entry = make("li", { class: isCurrent ? "session current" : "session" }, open);
    open.addEventListener("keydown", ({ key }) => {
      if (key === "F2") this._rename(entry, id, name);
      if (key === "Delete") this._delete(id, name);
    });
    open.addEventListener("dblclick", () => this._rename(entry, id, name));
    entry.append(
      iconButton("pen", words("renameOf", name), () => this._rename(entry, id, name), { "data-key": `rename-${id}` }),
      iconButton("bin", words("deleteOf", name), () => this._delete(id, name), { "data-key": `delete-${id}` }),
    );
    return entry;
  }

  _rename(entry, id, name) {
    const field = make("input", { type: "text", value: name, maxLength: 120, "aria-label": words("renameOf", name) });
    let over = false;
    const finish = (keep) => {
      if (over) return;
      over = true;
      field.remove();
      if (keep) this._sessions.rename(id, field.value);
      this.show();
      this.element.querySelector(`[data-key="open-${id}"]`)?.focus();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault(); // Else the button that has the focus next is pressed.
      finish(event.key === "Enter");
    });
    field.addEventListener("blur", () => finish(true));
    entry.replaceChildren(field);
    field.select();
  }

  _delete(id, name) {
    const dialog = make("dialog", { class: "dialog", "aria-labelledby": "delete-title" });
    const close = () => {
      dialog.close();
      dialog.remove();
    };
    const sure = () => {
      close();
      this._sessions.delete(id);
      if (id === this._current) this._onnew();
      else this.element.querySelector(".wide").focus();
    };
    dialog.append(
      make("h2", { id: "delete-title" }, words("deleteTitle")),
      make("p", {}, words("deleteText", name)),
      make("div", { class: "dialog-buttons" }, make("button", { type: "button", class: "button", autofocus: true, onclick: close }, words("cancel")), make("button", { type: "button", class: "button danger", onclick: sure }, words("delete"))),
    );
    dialog.addEventListener("cancel", () => setTimeout(() => dialog.remove()));
    document.body.append(dialog);
    dialog.showModal();
  }
}
