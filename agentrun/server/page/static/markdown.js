// Markdown as elements. It comes from an agent, so nobody vouches for it: there is no HTML in it, only text; links lead
// nowhere but to web pages and mail; images of other places are links, as to load one tells its place who reads this.

import { copyButton, make } from "./elements.js";
import { highlight } from "./highlight.js";
import { words } from "./words.js";

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}>\s?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:\s+(.*)|$)/;
const TABLE_LINE = /^\s*\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?\|?\s*$|^\s*\|\s*:?-+:?\s*$/;
const MOST_NESTED = 12;
// Patterns look ahead, so what never ends costs its length squared, and it is looked at for each picture.
const MOST_OF_A_TABLE_LINE = 2000;
const MOST_INLINE = 10_000;
const EMBEDDED = /!\[([^\]\n]{0,200})\]\((data:image\/[a-z+]{1,10};base64,[A-Za-z0-9+/=]+)\)/g;

/** Shows a text that grows: only blocks that changed are made again. */
export class MarkdownView {
  constructor() {
    this.element = make("div", { class: "markdown" });
    this._blocks = [];
  }

  show(text) {
    const blocks = split(text);
    let same = 0;
    while (same < blocks.length && same < this._blocks.length && blocks[same] === this._blocks[same]) same += 1;
    while (this.element.childElementCount > same) this.element.lastElementChild.remove();
    for (const block of blocks.slice(same)) this.element.append(rendered(block));
    this._blocks = blocks;
  }
}

export function markdown(text) {
  const view = new MarkdownView();
  view.show(text);
  return view.element;
}

// Blocks: each is a piece of the source that means the same whatever follows it.

function split(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const end = endOfBlock(lines, at);
    blocks.push(lines.slice(at, end).join("\n"));
    at = end;
  }
  return blocks;
}

function endOfBlock(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return endOfFence(lines, at);
  if (HEADING.test(line) || RULE.test(line)) return at + 1;
  if (QUOTE.test(line)) return endWhile(lines, at, (each) => QUOTE.test(each) || isPlain(each));
  if (ITEM.test(line)) return endOfList(lines, at);
  if (isTable(lines, at)) return endWhile(lines, at, (each) => each.includes("|"));
  if (isMath(line)) return endOfMath(lines, at);
  return endOfParagraph(lines, at);
}

function endOfFence(lines, at) {
  const [, , mark] = FENCE.exec(lines[at]);
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end += 1;
  return Math.min(end + 1, lines.length);
}

function isMath(line) {
  return /^\s*\$\$/.test(line);
}

function endOfMath(lines, at) {
  if (/\$\$.*\$\$\s*$/.test(lines[at])) return at + 1;
  let end = at + 1;
  while (end < lines.length && !/\$\$\s*$/.test(lines[end])) end += 1;
  return Math.min(end + 1, lines.length);
}

function endWhile(lines, at, holds) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && holds(lines[end])) end += 1;
  return end;
}

function endOfList(lines, at) {
  const ordered = isOrdered(lines[at]);
  const margin = indentOf(lines[at]);
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end];
    const next = line.trim() ? line : lines[end + 1] ?? "";
    const isItem = ITEM.test(next) && (indentOf(next) > margin + 1 || isOrdered(next) === ordered);
    const belongs = isItem || indentOf(next) > margin + 1 || (line.trim() && isPlain(line) && lines[end - 1].trim());
    if (!next.trim() || !belongs || (RULE.test(next) && indentOf(next) <= margin)) break;
    if (FENCE.test(line)) end = endOfFence(lines, end);
    else end += 1;
  }
  return end;
}

function isOrdered(line) {
  return /^\s*\d/.test(line);
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

function isPlain(line) {
  return Boolean(line.trim()) && ![FENCE, HEADING, RULE, QUOTE, ITEM].some((kind) => kind.test(line));
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].length < MOST_OF_A_TABLE_LINE && TABLE_LINE.test(lines[at + 1]);
}

function endOfParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && (isPlain(lines[end]) || /^=+\s*$|^-+\s*$/.test(lines[end])) && !isTable(lines, end)) {
    end += 1;
    if (/^ {0,3}(=+|-{2,})\s*$/.test(lines[end - 1])) break;
  }
  return end;
}

function rendered(block, depth = 0) {
  const lines = block.split("\n");
  const first = lines[0];
  if (FENCE.test(first)) return fence(lines);
  if (HEADING.test(first)) return heading(HEADING.exec(first));
  if (RULE.test(first)) return make("hr");
  if (depth < MOST_NESTED && QUOTE.test(first)) return quote(lines, depth);
  if (depth < MOST_NESTED && ITEM.test(first)) return list(lines, depth);
  if (isTable(lines, 0)) return table(lines);
  if (isMath(first)) return code(block.replaceAll("$$", "").trim(), "math");
  return paragraph(lines);
}

function heading([, marks, text]) {
  // The page has the first level itself.
  return make(`h${Math.min(marks.length + 1, 6)}`, {}, ...inline((text ?? "").trim()));
}

function paragraph(lines) {
  const under = lines.length > 1 && /^ {0,3}(=+|-{2,})\s*$/.exec(lines.at(-1));
  if (under) return make(under[1][0] === "=" ? "h2" : "h3", {}, ...inline(lines.slice(0, -1).join("\n")));
  return make("p", {}, ...inline(lines.map((line) => line.trimStart()).join("\n")));
}

function quote(lines, depth) {
  const inner = lines.map((line) => line.replace(QUOTE, "")).join("\n");
  return make("blockquote", {}, ...split(inner).map((block) => rendered(block, depth + 1)));
}

function list(lines, depth) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(mark);
  const element = make(ordered ? "ol" : "ul");
  if (ordered && Number.parseInt(mark, 10) !== 1) element.start = Number.parseInt(mark, 10);
  const items = itemsOf(lines, indent.length);
  const loose = items.some((item) => /\n\s*\n/.test(item.trimEnd()) && split(item).length > 1 && !ITEM.test(split(item)[1]));
  for (const item of items) element.append(listItem(item, loose, depth));
  return element;
}

function itemsOf(lines, margin) {
  const items = [];
  let inside = 0;
  let fenced = false;
  for (const line of lines) {
    const found = fenced ? null : ITEM.exec(line);
    if (found && found[1].length <= margin + 1) {
      inside = found[1].length + found[2].length + 1;
      items.push(found[3] ?? "");
    } else {
      const text = line.slice(Math.min(indentOf(line), inside));
      if (FENCE.test(text)) fenced = !fenced;
      items[items.length - 1] += `\n${text}`;
    }
  }
  return items;
}

function listItem(text, loose, depth) {
  const task = /^\[([ xX])\]\s+/.exec(text);
  const blocks = split(task ? text.slice(task[0].length) : text).map((block) => rendered(block, depth + 1));
  const parts = loose ? blocks : blocks.flatMap((block) => (block.tagName === "P" ? [...block.childNodes] : [block]));
  const item = make("li", {}, ...parts);
  if (task) {
    item.className = "task";
    item.prepend(make("input", { type: "checkbox", disabled: true, checked: task[1] !== " " }), " ");
  }
  return item;
}

function table(lines) {
  const [head, marks, ...body] = lines.map(cells);
  const sides = marks.map((mark) => ({ "::": "center", ":": "right" })[(mark.startsWith(":") ? ":" : "") + (mark.endsWith(":") ? ":" : "")] ?? "");
  const alignments = marks.map((mark, index) => (mark.startsWith(":") && !mark.endsWith(":") ? "left" : sides[index]));
  const row = (tag, entries) =>
    make("tr", {}, ...head.map((_, index) => make(tag, { class: alignments[index] ? `align-${alignments[index]}` : undefined }, ...inline(entries[index] ?? ""))));
  const whole = make("table", {}, make("thead", {}, row("th", head)), make("tbody", {}, ...body.map((entries) => row("td", entries))));
  // A wide table is scrolled, also by those who have only keys.
  return make("div", { class: "table", tabIndex: 0, role: "region", "aria-label": words("table") }, whole);
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  const parts = [""];
  let inCode = false;
  for (let at = 0; at < inner.length; at += 1) {
    if (inner[at] === "`") inCode = !inCode;
    if (inner[at] === "\\" && inner[at + 1] === "|") {
      parts[parts.length - 1] += "|";
      at += 1;
    } else if (inner[at] === "|" && !inCode) parts.push("");
    else parts[parts.length - 1] += inner[at];
  }
  return parts.map((part) => part.trim());
}

function fence(lines) {
  const [, indent, mark, info] = FENCE.exec(lines[0]);
  const closed = lines.length > 1 && new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`).test(lines.at(-1));
  const body = lines.slice(1, closed ? -1 : undefined);
  return code(body.map((line) => line.slice(Math.min(indent.length, indentOf(line)))).join("\n"), info.trim().split(/\s/)[0]);
}

/** A block of code with its language and a button that copies it. */
export function code(text, language = "") {
  const bar = make("div", { class: "code-bar" }, make("span", {}, language), copyButton(words("copy"), words("copied"), () => text));
  const body = make("pre", { tabIndex: 0 }, make("code", {}, ...highlight(text, language)));
  return make("div", { class: "code" }, bar, body);
}

// Words inside a block.

const INLINE = [
  [/\\([!-/:-@[-`{-~])/y, ([, character]) => character],
  [/(`+)(?!`)([\s\S]*?[^`])\1(?!`)/y, ([, , text]) => make("code", {}, text.replace(/^ (.*\S.*) $/, "$1").replaceAll("\n", " "))],
  [/!\[((?:[^\]\\]|\\.)*)\]\(\s*<?([^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y, ([, label, place]) => picture(place, label)],
  [/\[((?:[^[\]\\]|\\.|\[[^\]]*\])*)\]\(\s*<?([^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y, ([, label, place], depth) => link(place, inline(label, depth + 1, true))],
  [/<((?:https?:\/\/|mailto:)[^\s<>]+)>/y, ([, place]) => link(place, [place])],
  [/\*\*\*(?=\S)([\s\S]*?\S)\*\*\*(?!\*)/y, ([, text], depth, inLink) => make("strong", {}, make("em", {}, ...inline(text, depth + 1, inLink)))],
  [/\*\*(?=\S)([\s\S]*?\S\*?)\*\*(?!\*)/y, ([, text], depth, inLink) => make("strong", {}, ...inline(text, depth + 1, inLink))],
  [/(?<![A-Za-z0-9_])__(?=\S)([\s\S]*?\S)__(?![A-Za-z0-9_])/y, ([, text], depth, inLink) => make("strong", {}, ...inline(text, depth + 1, inLink))],
  [/\*(?=[^\s*])((?:[^*\\]|\\.|\*\*[^*]+\*\*)*?[^\s*])\*(?!\*)/y, ([, text], depth, inLink) => make("em", {}, ...inline(text, depth + 1, inLink))],
  [/(?<![A-Za-z0-9_])_(?=[^\s_])((?:[^_\\]|\\.)*?[^\s_])_(?![A-Za-z0-9_])/y, ([, text], depth, inLink) => make("em", {}, ...inline(text, depth + 1, inLink))],
  [/~~(?=\S)([\s\S]*?\S)~~/y, ([, text], depth, inLink) => make("s", {}, ...inline(text, depth + 1, inLink))],
  [/ {2,}\n|\n/y, ([text]) => (text.length > 1 ? make("br") : "\n")],
];
const BARE = /(?<![A-Za-z0-9])https?:\/\/[^\s<>"'`，。；：！？、（）【】《》「」]+/y;
const INTERESTING = /[\\`![<*_~\n]| {2}|https?:\/\//g;

function inline(text, depth = 0, inLink = false) {
  return text.length > MOST_INLINE ? embedded(text) : inlineShort(text, depth, inLink);
}

/** What is so long has images in it, or else is no Markdown that somebody wrote. */
function embedded(text) {
  const parts = [];
  let end = 0;
  const add = (rest) => rest && parts.push(...(rest.length > MOST_INLINE ? [rest] : inlineShort(rest)));
  for (const { 0: all, 1: label, 2: place, index } of text.matchAll(EMBEDDED)) {
    add(text.slice(end, index));
    parts.push(picture(place, label));
    end = index + all.length;
  }
  add(text.slice(end));
  return parts;
}

function inlineShort(text, depth = 0, inLink = false) {
  const parts = [];
  let plain = "";
  for (let at = 0; at < text.length; ) {
    const found = depth < MOST_NESTED ? tokenAt(text, at, depth, inLink) : null;
    if (found) {
      if (plain) parts.push(plain);
      plain = "";
      parts.push(found.part);
      at = found.end;
    } else {
      const next = nextInteresting(text, at + 1);
      plain += text.slice(at, next);
      at = next;
    }
  }
  if (plain) parts.push(plain);
  return parts;
}

function nextInteresting(text, from) {
  INTERESTING.lastIndex = from;
  return INTERESTING.exec(text)?.index ?? text.length;
}

function tokenAt(text, at, depth, inLink) {
  for (const [pattern, part] of INLINE) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) return { part: part(found, depth, inLink), end: at + found[0].length };
  }
  if (inLink) return null;
  BARE.lastIndex = at;
  const bare = BARE.exec(text);
  if (!bare) return null;
  // A sentence may end behind an address, and brackets may stand around it.
  let place = bare[0].replace(/[.,;:!?*_~]+$/, "");
  while (place.endsWith(")") && place.split(")").length > place.split("(").length) place = place.slice(0, -1);
  return { part: link(place, [place]), end: at + place.length };
}

/** The address as a browser would read it, if it leads to a web page or to mail; else null. */
export function safePlace(place) {
  if (!/^(https?:\/\/|mailto:)/i.test(place)) return null;
  try {
    const url = new URL(place);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function link(place, parts) {
  const href = safePlace(place);
  if (href === null) return make("span", { class: "dead-link" }, ...parts);
  return make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: href }, ...parts);
}

/** An image that holds its own bytes is shown; others are links. */
export function picture(place, label) {
  if (/^data:image\/(png|jpe?g|gif|webp|avif|bmp|svg\+xml)[;,]/i.test(place)) {
    return make("img", { src: place, alt: label || words("image"), class: "picture" });
  }
  return link(place, [words("openImage", label || place)]);
}
