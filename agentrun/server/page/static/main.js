// The page put together.

import { textOf } from "./answer.js";
import { Composer } from "./composer.js";
import { Drawer } from "./drawer.js";
import { Events } from "./events.js";
import { icon, iconButton, make, unique } from "./elements.js";
import { preferences } from "./preferences.js";
import { PROTOCOLS } from "./protocols/index.js";
import { Sessions } from "./sessions.js";
import { choice, openSettings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { Talk } from "./talk.js";
import { Trace } from "./trace.js";
import { Transcript } from "./transcript.js";
import { inEachLanguage, speak, words } from "./words.js";

const SETTINGS = JSON.parse(document.querySelector('meta[name="agentrun-settings"]').content);
const HERE = new URL(".", document.baseURI);
const ALIVE = new URL(SETTINGS.alive, HERE).href;
const TRACES = SETTINGS.traces ? new URL(SETTINGS.traces, HERE).href : null;
const MOST_ANNOUNCED = 2000;
const TITLE_LENGTH = 60;
// As wide as the style takes a screen for a phone.
const NARROW = matchMedia("(max-width: 52rem)");

class Page {
  constructor() {
    this._protocols = SETTINGS.protocols.filter(({ name }) => name in PROTOCOLS);
    this._sessions = new Sessions();
    this._session = this._sessions.create();
    speak(preferences.get("language"));
    const events = new Events();
    this._trace = new Trace(TRACES);
    this._drawer = new Drawer(byId("drawer"), [events, this._trace], { onclose: () => this._toggleEvents(false) });
    this._talk = new Talk(this, { alive: ALIVE, note: (...what) => events.note(...what) });
    this._transcript = new Transcript(byId("transcript"), { ...SETTINGS, onagain: () => this._again(), ontrace: (answer) => this._chooseTrace(answer) });
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
      iconButton("events", words("drawer"), () => this._toggleEvents(), { id: "show-events", "aria-controls": "drawer", "aria-expanded": String(!byId("drawer").hidden) }),
      iconButton("gear", words("settings"), openSettings),
    );
    this._reflectSidebar();
    this._showSession();
  }

  get _protocol() {
    return this._protocols.find(({ name }) => name === preferences.get("protocol")) ?? this._protocols[0];
  }

  _toggleEvents(open = byId("drawer").hidden) {
    this._drawer.toggle(open);
    byId("show-events").setAttribute("aria-expanded", String(open));
    if (!open) byId("show-events").focus();
  }

  _chooseTrace(answer) {
    this._showTrace(answer);
    this._toggleEvents(true);
    this._drawer.choose(this._trace, { takesFocus: true });
  }

  /** Without an answer that somebody chose the newest is shown. */
  _showTrace(chosen) {
    const { messages } = this._session;
    const answer = chosen ?? messages.findLast(({ role }) => role === "agent");
    const question = messages.slice(0, messages.indexOf(answer)).findLast(({ role }) => role === "user");
    this._trace.show({ answer, question, isRunning: answer === messages.at(-1) && this._talk.isAnswering(this._session) });
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
      if (this._talk.isAnswering(this._session) || this._talk.isWaiting(this._session)) this._stop();
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
    this._session = (id && (this._talk.sessionOf(id) ?? this._sessions.open(id))) || this._sessions.create();
    this._name();
    this._sidebar.current = this._session.id;
    this._showSession();
    if (NARROW.matches && !byId("sidebar").hidden) this._toggleSidebar(false);
    this._composer.focus();
  }

  _showSession() {
    const isAnswering = this._talk.isAnswering(this._session);
    this._transcript.show(this._session.messages, isAnswering ? this._session.messages.at(-1) : null);
    this._composer.running = isAnswering;
    this._showNotice();
    this._showTrace();
  }

  _showNotice() {
    const notice = this._talk.isWaiting(this._session) ? words("reconnecting") : "";
    this._transcript.viewOf(this._session.messages.at(-1))?.show({ running: this._talk.isAnswering(this._session), notice });
  }

  /** Puts the conversation into the address and the title; a new one is there only when something was said in it. */
  _name() {
    const { id, title, messages } = this._session;
    history.replaceState(null, "", messages.length ? `#${encodeURIComponent(id)}` : location.pathname + location.search);
    document.title = title ? `${title} · ${SETTINGS.name}` : SETTINGS.name;
  }

  _keep(session) {
    // Not what was deleted while it was answered.
    const isKnown = session === this._session || this._sessions.list().some(({ id }) => id === session.id);
    if (isKnown && !this._sessions.save(session)) announceAloud(words("storageFull"));
  }

  // Questions and answers

  _ask(parts) {
    const session = this._session;
    session.messages.push({ role: "user", id: unique(), parts });
    const { text, name } = parts.find(({ kind }) => kind === "text") ?? parts[0];
    session.title ||= (text ?? name).replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
    this._name();
    this._keep(session);
    this._sidebar.current = session.id;
    this._transcript.add(session.messages.at(-1));
    this._answer(session);
  }

  /** Asks the last question again, in place of its answer. */
  _again(session = this._session) {
    if (this._talk.isAnswering(session)) return;
    if (session.messages.at(-1)?.role === "agent") {
      session.messages.pop();
      if (session === this._session) this._transcript.removeLast();
    }
    if (session.messages.length) this._answer(session);
  }

  _answer(session) {
    const protocol = this._protocol;
    if (!protocol) return announceAloud(words("noProtocols"));
    const history = { always: true, never: false }[preferences.get("history")];
    return this._talk.ask(session, {
      protocol: protocol.name,
      url: new URL(protocol.path, HERE).href,
      sendsHistory: history ?? PROTOCOLS[protocol.name].sendsHistory,
      key: preferences.key,
      trace: TRACES ? unique() : undefined,
    });
  }

  _stop() {
    this._talk.stop(this._session);
  }

  // What happens to questions

  answerBegan(session, answer) {
    if (session !== this._session) return;
    this._transcript.add(answer, { running: true });
    this._composer.running = true;
    this._showTrace();
    announce(words("working"));
  }

  answerGrew(session, answer, { kind, name }) {
    if (session !== this._session) return;
    if (kind === "call" && name) announce(`${name}: ${words("calling")}`);
    if (kind === "waiting") this._showNotice();
    this._transcript.viewOf(answer)?.showSoon();
  }

  answerEnded(session, answer) {
    this._keep(session);
    if (session !== this._session) return;
    this._showNotice();
    this._showTrace();
    this._composer.running = false;
    // An error says so itself.
    if (!answer.error) announce(answer.stopped ? words("stopped") : words("said", textOf(answer).slice(0, MOST_ANNOUNCED)));
  }

  /** A question that did not reach the server is asked again. One that did may have done something, and whether to
   * begin that again is not for the page to say. */
  waitingEnded(session, answer, isBack) {
    if (session === this._session) this._showNotice();
    if (!isBack) return;
    if (session === this._session) this._showTrace();
    announce(words("reconnected"));
    if (answer.error.reason === "unreachable") this._again(session);
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
