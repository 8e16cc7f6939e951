/**
 * A string of Consul's filter language. It knows no escaped quotes, but reads what is between its quotes as Go does.
 */
export function quoted(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are what must not stand there as they are
  const plain = text.replace(/["\\\u0000-\u001f\u007f]/g, (part) => {
    return `\\x${part.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${plain}"`;
}
