// A conversation as the page keeps it, in the order in which models want to be told it.

/** The parts of a message of the user that are still there: files of old conversations may not be. */
export function partsOf(message) {
  return message.parts.filter((part) => part.kind === "text" || part.url);
}

/** What an agent said, as turns of `{ text, calls }`; calls without a result were never answered, and are left out. */
export function answersOf(message) {
  const turns = [{ text: "", calls: [] }];
  for (const item of message.items) {
    if (item.kind === "text" && turns.at(-1).calls.length) turns.push({ text: "", calls: [] });
    if (item.kind === "text") turns.at(-1).text += item.text;
    if (item.kind === "call" && item.output !== undefined) turns.at(-1).calls.push({ id: item.id, name: item.name, args: item.args || "{}", output: item.output });
  }
  return turns.filter(({ text, calls }) => text || calls.length);
}

/** The Base64 of a data URL. */
export function bytesOf(url) {
  return url.slice(url.indexOf(",") + 1);
}

export function formatOf(type) {
  return { "audio/mpeg": "mp3", "audio/x-wav": "wav", "audio/wave": "wav" }[type] ?? type.split("/")[1].split(";")[0];
}
