// Where a message is written, with its files.

import { icon, iconButton, make } from "./elements.js";
import { inEachLanguage, words } from "./words.js";

export class Composer {
  /** `onsend` gets the parts of a message, `onstop` nothing; `ontrouble` gets words. */
  constructor(element, { name, mostBytes, onsend, onstop, ontrouble }) {
    Object.assign(this, { _name: name, _mostBytes: mostBytes, _onsend: onsend, _onstop: onstop, _ontrouble: ontrouble });
    this._files = [];
    this._running = false;
    this._build(element);
    this._listen(element);
    inEachLanguage(() => this._speak());
  }

  get isEmpty() {
    return !this._field.value.trim() && !this._files.length;
  }

  focus() {
    this._field.focus();
  }

  set running(running) {
    const hadFocus = [this._send, this._stop].includes(document.activeElement);
    this._running = running;
    this._send.hidden = running;
    this._stop.hidden = !running;
    // A button that vanishes must not take the focus with it.
    if (hadFocus) this.focus();
  }

  write(text) {
    this._field.value = text;
    this._fit();
  }

  _build(element) {
    this._field = make("textarea", { id: "question", rows: 1, autocomplete: "off", spellcheck: true });
    this._chips = make("ul", { class: "chips", hidden: true });
    this._picker = make("input", { type: "file", multiple: true, hidden: true, onchange: () => this._pick() });
    this._attach = iconButton("clip", "", () => this._picker.click());
    this._send = iconButton("send", "", () => this.send(), { class: "icon-button send" });
    this._stop = make("button", { type: "button", class: "icon-button stop", hidden: true, onclick: () => this._onstop() }, make("span", { class: "square" }));
    this._keys = make("p", { class: "keys", id: "keys" });
    this._field.setAttribute("aria-describedby", "keys");
    const row = make("div", { class: "row" }, this._attach, this._field, this._send, this._stop);
    this._box = make("form", { class: "box", onsubmit: (event) => event.preventDefault() }, this._chips, row, this._picker);
    element.replaceChildren(this._box, this._keys);
  }

  _speak() {
    this._field.setAttribute("aria-label", words("ask"));
    this._field.placeholder = words("askPlaceholder", this._name);
    for (const [button, label] of [[this._attach, "attach"], [this._send, "send"], [this._stop, "stop"]]) {
      button.title = words(label);
      button.setAttribute("aria-label", words(label));
    }
    this._keys.textContent = words("keys");
    this._box.dataset.drop = words("dropHere");
    this._showFiles();
  }

  _listen(element) {
    this._field.addEventListener("input", () => this._fit());
    this._field.addEventListener("keydown", (event) => this._key(event));
    this._field.addEventListener("paste", (event) => this._paste(event));
    for (const kind of ["dragover", "dragleave", "drop"]) element.parentElement.addEventListener(kind, (event) => this._drag(event));
  }

  _key(event) {
    // With an input method Enter chooses a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.send();
  }

  send() {
    if (this._running || this.isEmpty) return;
    const text = this._field.value.trim();
    const parts = [...this._files, ...(text ? [{ kind: "text", text }] : [])];
    this._files = [];
    this.write("");
    this._showFiles();
    this._onsend(parts);
  }

  _fit() {
    this._field.style.height = "auto";
    this._field.style.height = `${this._field.scrollHeight}px`;
  }

  _pick() {
    this.attach([...this._picker.files]);
    this._picker.value = "";
    this.focus();
  }

  _paste(event) {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    this.attach(files);
  }

  _drag(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this._box.classList.toggle("dropping", event.type === "dragover");
    if (event.type === "drop") this.attach([...event.dataTransfer.files]);
  }

  async attach(files) {
    for (const file of files) {
      const total = this._files.reduce((sum, { size }) => sum + size, file.size);
      if (total > this._mostBytes) this._ontrouble(words("fileTooLarge", file.name, megabytes(this._mostBytes)));
      else await this._read(file);
    }
    this._showFiles();
  }

  async _read(file) {
    try {
      const type = file.type || "application/octet-stream";
      const kind = /^(image|audio)\//.exec(type)?.[1] ?? "file";
      this._files.push({ kind, name: file.name, type, size: file.size, url: await dataUrl(file, type) });
    } catch {
      this._ontrouble(words("fileUnreadable", file.name));
    }
  }

  _showFiles() {
    this._chips.hidden = !this._files.length;
    this._chips.replaceChildren(...this._files.map((file) => this._chip(file)));
  }

  _chip(file) {
    const drop = () => {
      this._files = this._files.filter((each) => each !== file);
      this._showFiles();
      this.focus();
    };
    const face = file.kind === "image" ? make("img", { src: file.url, alt: "" }) : icon("file");
    return make("li", { class: "chip" }, face, make("span", { class: "chip-name" }, file.name), iconButton("close", words("remove", file.name), drop));
  }
}

function dataUrl(file, type) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.replace(/^data:[^,]*,/, `data:${type};base64,`));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function megabytes(bytes) {
  return `${Math.floor(bytes / 2 ** 20)} MB`;
}
