// Server-sent events out of bytes that are cut anywhere.

/** The events of a body as they come: `{ data, event, id }`. */
export async function* framesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const frames = new FrameReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* frames.feed(value);
    }
  } finally {
    // Who stops to read does not want the rest to be sent.
    reader.cancel().catch(() => {});
  }
}

export class FrameReader {
  constructor() {
    this._rest = "";
    this._frame = { data: [], event: "", id: null };
  }

  *feed(text) {
    const lines = (this._rest + text).split(/\r\n|\n|\r(?!$)/);
    this._rest = lines.pop();
    for (const line of lines) {
      if (line) this._line(line);
      else if (this._frame.data.length) yield this._take();
    }
  }

  _line(line) {
    const [, name, value] = /^([^:]*):? ?([\s\S]*)$/.exec(line);
    if (name === "data") this._frame.data.push(value);
    else if (name === "event" || name === "id") this._frame[name] = value;
  }

  _take() {
    const { data, event, id } = this._frame;
    this._frame = { data: [], event: "", id };
    return { data: data.join("\n"), event, id };
  }
}
