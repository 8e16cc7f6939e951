/**
 * A CEL string literal for any text. Everything but printable ASCII is escaped, and so are the quote and the backslash:
 * nothing that a policy holds can end the literal. Halves of surrogate pairs, which CEL has no literal for, become
 * U+FFFD.
 */
export function celString(text: string): string {
  let literal = "";
  for (const sign of text.toWellFormed()) {
    const code = sign.codePointAt(0) ?? 0;
    if (sign === '"' || sign === "\\") literal += `\\${sign}`;
    else if (code >= 0x20 && code < 0x7f) literal += sign;
    else literal += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return `"${literal}"`;
}

/** A CEL list of strings. An empty one has the type too: a list of anything goes with no string. */
export function celStrings(texts: readonly string[]): string {
  if (texts.length === 0) return '[""].filter(s, false)';
  return `[${texts.map(celString).join(", ")}]`;
}

/** A CEL list of maps from string to string; an undefined value is no entry. */
export function celMaps(maps: readonly Readonly<Record<string, string | undefined>>[]): string {
  if (maps.length === 0) return '[{"": ""}].filter(m, false)';
  return `[${maps.map(celMap).join(", ")}]`;
}

function celMap(map: Readonly<Record<string, string | undefined>>): string {
  const entries = Object.entries(map).flatMap(([key, value]) =>
    value === undefined ? [] : [`${celString(key)}: ${celString(value)}`],
  );
  return `{${entries.join(", ")}}`;
}
