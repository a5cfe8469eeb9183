// The conversations, which this browser keeps and nobody else.

import { unique } from "./elements.js";

const LIST = "agentrun.sessions";
const ONE = "agentrun.session.";
const MOST_SESSIONS = 100;
// Browsers give a page five million characters; others of this origin may want some.
const MOST_CHARACTERS = 4_000_000;
const MOST_OF_ONE = 1_500_000;

/** The conversations, the latest first. `onfull` is called when one cannot be kept. */
export class Sessions extends EventTarget {
  constructor(storage = localStorage) {
    super();
    this._storage = storage;
    this._unkept = new Map();
    addEventListener("storage", ({ key }) => key === LIST && this.dispatchEvent(new Event("change")));
  }

  /** `{ id, title, at }` of each. */
  list() {
    return this._read(LIST) ?? [];
  }

  /** A new one, which is listed once something is said in it. */
  create() {
    return { id: unique(), title: "", messages: [] };
  }

  open(id) {
    return this._unkept.get(id) ?? this._read(ONE + id);
  }

  rename(id, title) {
    const session = this.open(id);
    if (session && title.trim()) this.save({ ...session, title: title.trim() }, false);
  }

  delete(id) {
    this._storage.removeItem(ONE + id);
    this._unkept.delete(id);
    this._store(LIST, this.list().filter((each) => each.id !== id));
    this.dispatchEvent(new Event("change"));
  }

  /** Keeps one, and forgets the oldest when there are too many; gives whether it could be kept. */
  save(session, isNews = true) {
    const known = this.list().find((each) => each.id === session.id);
    const entry = { id: session.id, title: session.title, at: isNews || !known ? Date.now() : known.at };
    const others = this.list().filter((each) => each.id !== session.id);
    const list = [entry, ...others].sort((one, other) => other.at - one.at);
    for (const { id } of list.splice(MOST_SESSIONS)) this._storage.removeItem(ONE + id);
    this._store(LIST, list);
    const kept = this._keep(session, list);
    this.dispatchEvent(new Event("change"));
    return kept;
  }

  _keep(session, list) {
    this._unkept.delete(session.id);
    let text = JSON.stringify(session);
    if (text.length > MOST_OF_ONE) text = JSON.stringify(withoutBytes(session));
    this._makeRoom(text.length, session.id, list);
    try {
      this._storage.setItem(ONE + session.id, text);
      return true;
    } catch {
      return this._keepWithoutBytes(session);
    }
  }

  _keepWithoutBytes(session) {
    try {
      this._storage.setItem(ONE + session.id, JSON.stringify(withoutBytes(session)));
      return true;
    } catch {
      this._storage.removeItem(ONE + session.id);
      this._unkept.set(session.id, session);
      return false;
    }
  }

  _makeRoom(wanted, id, list) {
    const sizes = new Map(list.map((each) => [each.id, this._storage.getItem(ONE + each.id)?.length ?? 0]));
    let total = wanted;
    for (const [each, size] of sizes) total += each === id ? 0 : size;
    for (const oldest of [...list].reverse()) {
      if (total <= MOST_CHARACTERS || list.length === 1) return;
      if (oldest.id === id) continue;
      total -= sizes.get(oldest.id);
      this._storage.removeItem(ONE + oldest.id);
      list.splice(list.indexOf(oldest), 1);
      this._store(LIST, list);
    }
  }

  _store(key, value) {
    try {
      this._storage.setItem(key, JSON.stringify(value));
    } catch {
      // A list that cannot be kept is the same list as before.
    }
  }

  _read(key) {
    try {
      return JSON.parse(this._storage.getItem(key));
    } catch {
      return null;
    }
  }
}

/** The same without what is in its files; their names stay. */
function withoutBytes(session) {
  const bare = (part) => (part.url?.startsWith("data:") ? { ...part, url: undefined } : part);
  const messages = session.messages.map((message) =>
    message.role === "user" ? { ...message, parts: message.parts.map(bare) } : { ...message, items: message.items.map(bare) },
  );
  return { ...session, messages };
}
