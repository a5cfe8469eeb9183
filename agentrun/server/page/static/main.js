// The page put together.

import { apply, emptyAnswer, textOf } from "./answer.js";
import { Composer } from "./composer.js";
import { Drawer } from "./drawer.js";
import { icon, iconButton, make, unique } from "./elements.js";
import { preferences } from "./preferences.js";
import { PROTOCOLS } from "./protocols/index.js";
import { RunError, run, serverIsBack } from "./run.js";
import { Sessions } from "./sessions.js";
import { choice, openSettings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { Transcript } from "./transcript.js";
import { inEachLanguage, speak, words } from "./words.js";

const SETTINGS = JSON.parse(document.querySelector('meta[name="agentrun-settings"]').content);
const HERE = new URL(".", document.baseURI);
const ALIVE = new URL(SETTINGS.alive, HERE).href;
const MOST_ANNOUNCED = 2000;
const TITLE_LENGTH = 60;
// As wide as the style takes a screen for a phone.
const NARROW = matchMedia("(max-width: 52rem)");

class Page {
  constructor() {
    this._protocols = SETTINGS.protocols.filter(({ name }) => name in PROTOCOLS);
    this._sessions = new Sessions();
    this._session = this._sessions.create();
    this._running = null;
    speak(preferences.get("language"));
    this._drawer = new Drawer(byId("drawer"), { onclose: () => this._toggleEvents(false) });
    this._transcript = new Transcript(byId("transcript"), { ...SETTINGS, onagain: () => this._again() });
    this._composer = new Composer(byId("composer"), {
      name: SETTINGS.name,
      mostBytes: SETTINGS.most_upload_bytes,
      onsend: (parts) => this._ask(parts),
      onstop: () => this._stop(),
      ontrouble: announceAloud,
    });
    this._sidebar = new Sidebar(byId("sidebar"), this._sessions, {
      onopen: (id) => this._open(id),
      onnew: () => this._open(null),
      onhide: () => this._toggleSidebar(false),
    });
    inEachLanguage(() => this._speak());
    this._listen();
    this._toggleSidebar(!NARROW.matches && preferences.get("sidebar") !== "hidden", false);
    this._open(decodeURIComponent(location.hash.slice(1)) || null);
  }

  // Header

  _speak() {
    const header = byId("header");
    header.replaceChildren(
      iconButton("menu", words("showConversations"), () => this._toggleSidebar(), { id: "show-sidebar", "aria-controls": "sidebar" }),
      make("h1", {}, SETTINGS.name),
      make("label", { class: "unseen", htmlFor: "protocol" }, words("protocol")),
      choice(this._protocols.map(({ name }) => [name, PROTOCOLS[name].label]), this._protocol?.name, (name) => preferences.set("protocol", name), { id: "protocol", class: "picker", title: words("protocol") }),
      iconButton("events", words("rawEvents"), () => this._toggleEvents(), { id: "show-events", "aria-controls": "drawer", "aria-expanded": String(!byId("drawer").hidden) }),
      iconButton("gear", words("settings"), openSettings),
    );
    this._reflectSidebar();
    if (!this._running) this._transcript.show(this._session.messages);
  }

  get _protocol() {
    return this._protocols.find(({ name }) => name === preferences.get("protocol")) ?? this._protocols[0];
  }

  _toggleEvents(open = byId("drawer").hidden) {
    this._drawer.toggle(open);
    byId("show-events").setAttribute("aria-expanded", String(open));
    if (!open) byId("show-events").focus();
  }

  _toggleSidebar(open = byId("sidebar").hidden, byHand = true) {
    byId("sidebar").hidden = !open;
    byId("scrim").hidden = !open;
    if (byHand && !NARROW.matches) preferences.set("sidebar", open ? "" : "hidden");
    this._reflectSidebar();
    if (!byHand) return;
    if (open) byId("sidebar").querySelector("button").focus();
    else byId("show-sidebar").focus();
  }

  _reflectSidebar() {
    const open = !byId("sidebar").hidden;
    const button = byId("show-sidebar");
    button.setAttribute("aria-expanded", String(open));
    button.title = words(open ? "hideConversations" : "showConversations");
    button.setAttribute("aria-label", button.title);
  }

  _listen() {
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
      if (this._running) this._stop();
      else if (NARROW.matches && !byId("sidebar").hidden) this._toggleSidebar(false);
      else if (!byId("drawer").hidden) this._toggleEvents(false);
    });
    byId("scrim").addEventListener("click", () => this._toggleSidebar(false));
    addEventListener("hashchange", () => {
      const id = decodeURIComponent(location.hash.slice(1));
      if (id !== this._session.id) this._open(id || null);
    });
  }

  // Conversations

  _open(id) {
    this._stop();
    this._session = (id && this._sessions.open(id)) || this._sessions.create();
    // A new one has a place of its own only when something was said in it.
    history.replaceState(null, "", this._session.messages.length ? `#${encodeURIComponent(this._session.id)}` : location.pathname + location.search);
    document.title = this._session.title ? `${this._session.title} · ${SETTINGS.name}` : SETTINGS.name;
    this._sidebar.current = this._session.id;
    this._transcript.show(this._session.messages);
    if (NARROW.matches && !byId("sidebar").hidden) this._toggleSidebar(false);
    this._composer.focus();
  }

  _keep(session) {
    if (!this._sessions.save(session)) announceAloud(words("storageFull"));
  }

  // Questions and answers

  _ask(parts) {
    this._stop(); // To wait for a server, if anything.
    const session = this._session;
    session.messages.push({ role: "user", id: unique(), parts });
    if (!session.title) {
      const { text, name } = parts.find(({ kind }) => kind === "text") ?? parts[0];
      session.title = (text ?? name).replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
      document.title = `${session.title} · ${SETTINGS.name}`;
    }
    history.replaceState(null, "", `#${encodeURIComponent(session.id)}`);
    this._keep(session);
    this._transcript.add(session.messages.at(-1));
    this._sidebar.current = session.id;
    this._answer(session);
  }

  _again() {
    if (this._running?.isOver === false) return;
    this._stop();
    if (this._session.messages.at(-1)?.role === "agent") {
      this._session.messages.pop();
      this._transcript.removeLast();
    }
    this._composer.focus();
    if (this._session.messages.length) this._answer(this._session);
  }

  _stop() {
    this._running?.controller.abort();
  }

  async _answer(session) {
    const protocol = this._protocol;
    const answer = emptyAnswer(protocol?.name);
    const running = { controller: new AbortController(), isOver: false };
    this._running = running;
    session.messages.push(answer);
    const view = this._transcript.add(answer, { running: true });
    this._composer.running = true;
    announce(words("working"));
    const began = performance.now();
    await this._tell(session, answer, protocol, running.controller.signal, view);
    answer.seconds = (performance.now() - began) / 1000;
    running.isOver = true;
    this._finish(session, answer, running, view);
  }

  async _tell(session, answer, protocol, signal, view) {
    try {
      if (!protocol) throw new RunError("noProtocols");
      for await (const event of this._events(session, protocol, signal)) {
        apply(answer, event);
        if (event.kind === "call" && event.name) announce(`${event.name}: ${words("calling")}`);
        view.showSoon();
      }
    } catch (error) {
      if (signal.aborted) answer.stopped = "user";
      else if (error instanceof RunError) answer.error = { reason: error.reason, detail: error.detail };
      else answer.error = { reason: "serverFailed", detail: String(error) };
    }
  }

  _events(session, protocol, signal) {
    const { sendsHistory } = PROTOCOLS[protocol.name];
    const whole = { always: true, never: false }[preferences.get("history")] ?? sendsHistory;
    const said = session.messages.slice(0, -1);
    return run({
      protocol: protocol.name,
      url: new URL(protocol.path, HERE).href,
      conversation: whole ? said : said.slice(-1),
      session: session.id,
      key: preferences.key,
      signal,
      note: (...what) => this._drawer.note(...what),
    });
  }

  _finish(session, answer, running, view) {
    const isConnectionLost = ["lost", "unreachable"].includes(answer.error?.reason);
    view.show({ running: false, notice: isConnectionLost ? words("reconnecting") : "" });
    if (this._running === running) this._composer.running = false;
    this._keep(session);
    if (!answer.error) announce(words("said", textOf(answer).slice(0, MOST_ANNOUNCED)));
    if (isConnectionLost) this._reconnect(answer, running, view);
    else if (this._running === running) this._running = null;
  }

  /** Waits for the server. A question that did not reach it is asked again; what began may have done something, so
   * whether to begin that again is not for the page to say. */
  async _reconnect(answer, running, view) {
    const waiting = { controller: new AbortController(), isOver: true };
    if (this._running !== running) return;
    this._running = waiting;
    const isBack = await serverIsBack(ALIVE, waiting.controller.signal);
    if (this._running !== waiting) return;
    this._running = null;
    view.show({ running: false });
    if (!isBack) return;
    announce(words("reconnected"));
    if (answer.error.reason === "unreachable") this._again();
  }
}

function byId(id) {
  return document.getElementById(id);
}

/** Says something to those who listen. */
function announce(text) {
  byId("announcer").textContent = text;
}

/** Says something to everybody, for a while. */
function announceAloud(text) {
  const toast = make("div", { class: "toast", role: "alert" }, icon("warning"), text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 6000);
}

new Page();
