// Questions that are being answered, at most one in each conversation; they go on while another one is looked at.

import { apply, emptyAnswer } from "./answer.js";
import { RunError, run, serverIsBack } from "./run.js";

const LOST = ["lost", "unreachable"];

/**
 * Asks agents. What happens is told to a listener: `answerBegan`, `answerGrew`, `answerEnded` and `waitingEnded`, each
 * with the session and the answer.
 */
export class Talk {
  constructor(listener, { alive, note }) {
    this._listener = listener;
    this._alive = alive;
    this._note = note;
    this._runs = new Map();
  }

  /** The conversation of this id, when something is going on in it. */
  sessionOf(id) {
    return this._runs.get(id)?.session;
  }

  isAnswering(session) {
    return this._runs.get(session.id)?.isWaiting === false;
  }

  /** Whether the server of an answer is away. */
  isWaiting(session) {
    const run = this._runs.get(session.id);
    return run?.isWaiting === true || run?.isCutOff === true;
  }

  stop(session) {
    this._runs.get(session.id)?.controller.abort();
  }

  /** Asks with what was said last. `question` is what `run` needs to know beside the conversation. */
  async ask(session, question) {
    this.stop(session); // It may wait for a server.
    const answer = emptyAnswer(question.protocol, question.trace);
    const conversation = question.sendsHistory ? [...session.messages] : session.messages.slice(-1);
    const { signal } = this._begin(session, answer, false);
    session.messages.push(answer);
    this._listener.answerBegan(session, answer);
    const began = performance.now();
    await this._tell(session, answer, signal, { ...question, conversation, session: session.id, signal, alive: this._alive, note: this._note });
    answer.seconds = (performance.now() - began) / 1000;
    this._runs.delete(session.id);
    const isLost = LOST.includes(answer.error?.reason);
    const waiting = isLost ? this._begin(session, answer, true) : null;
    this._listener.answerEnded(session, answer);
    if (waiting) await this._wait(session, answer, waiting);
  }

  _begin(session, answer, isWaiting) {
    const running = { session, answer, isWaiting, controller: new AbortController() };
    this._runs.set(session.id, running);
    return { running, signal: running.controller.signal };
  }

  async _tell(session, answer, signal, question) {
    try {
      for await (const event of run(question)) {
        if (event.kind === "waiting") this._runs.get(session.id).isCutOff = !event.isOver;
        apply(answer, event);
        this._listener.answerGrew(session, answer, event);
      }
    } catch (error) {
      if (signal.aborted) answer.stopped = "user";
      else if (error instanceof RunError) answer.error = { reason: error.reason, detail: error.detail };
      else answer.error = { reason: "serverFailed", detail: String(error) };
    }
  }

  async _wait(session, answer, { running, signal }) {
    const isBack = await serverIsBack(this._alive, signal);
    if (this._runs.get(session.id) !== running) return;
    this._runs.delete(session.id);
    this._listener.waitingEnded(session, answer, isBack);
  }
}
