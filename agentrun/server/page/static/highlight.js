// Colours for code: strings, comments, numbers and the words that most languages share. Not a grammar of any of them.

const KEYWORDS = new Set(
  `abstract and as assert async await begin break case catch class const continue def default defer del do echo elif else
   end enum except export extends extern fi final finally fn for foreach from func function global go goto if impl implements
   import in include instanceof interface is lambda let local loop match mod module mut namespace new nonlocal not of or
   override package pass private protected pub public raise range return select self static struct super switch template
   then this throw trait try type typedef typeof union unless until use using var virtual void where while with yield
   SELECT FROM WHERE INSERT INTO VALUES UPDATE SET DELETE CREATE TABLE INDEX DROP ALTER JOIN LEFT RIGHT INNER OUTER ON
   GROUP BY ORDER HAVING LIMIT AND OR NOT NULL AS DISTINCT UNION`.split(/\s+/),
);
const VALUES = new Set("true false null None True False undefined nil NaN Infinity".split(" "));
const HASH_COMMENTS = /^(py|python|sh|bash|shell|zsh|yaml|yml|toml|ruby|rb|r|perl|make|makefile|dockerfile|ini|conf|elixir|julia)$/i;
const SLASH_COMMENTS = /^(js|javascript|ts|typescript|jsx|tsx|java|c|h|cpp|c\+\+|cs|csharp|go|rust|rs|swift|kotlin|kt|scala|php|css|scss|dart|proto|json5?)$/i;
const PLAIN = /^(|text|txt|plain|plaintext|output|console|log|math|markdown|md|diff|csv)$/i;
// A large block would make every picture slow while it grows.
const MOST_CHARACTERS = 20_000;

/** A text and coloured pieces of it, in its order. */
export function highlight(text, language) {
  if (PLAIN.test(language) || text.length > MOST_CHARACTERS) return [text];
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(grammar(language))) {
    const kind = kindOf(found);
    if (!kind) continue;
    if (found.index > end) parts.push(text.slice(end, found.index));
    const piece = document.createElement("span");
    piece.className = `code-${kind}`;
    piece.textContent = found[0];
    parts.push(piece);
    end = found.index + found[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

function grammar(language) {
  const comments = ["(?!)"];
  if (HASH_COMMENTS.test(language)) comments.push("(?<![^\\s;])#[^\\n]*");
  if (SLASH_COMMENTS.test(language)) comments.push("\\/\\/[^\\n]*", "\\/\\*[\\s\\S]*?(?:\\*\\/|$)");
  if (/sql|lua|haskell/i.test(language)) comments.push("--[^\\n]*");
  if (/html|xml|svg/i.test(language)) comments.push("<!--[\\s\\S]*?(?:-->|$)");
  const strings = `"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|"(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\.)*\``;
  return new RegExp(`(?<comment>${comments.join("|")})|(?<string>${strings})|(?<number>\\b\\d[\\w.]*)|(?<word>[A-Za-z_$][\\w$]*)(?<call>\\s*(?=\\())?`, "g");
}

function kindOf({ groups, 0: text, index, input }) {
  if (groups.comment) return "comment";
  if (groups.string) return /^\s*:/.test(input.slice(index + text.length, index + text.length + 4)) ? "name" : "string";
  if (groups.number) return "number";
  if (KEYWORDS.has(groups.word)) return "keyword";
  if (VALUES.has(groups.word)) return "number";
  return groups.call !== undefined ? "call" : null;
}
