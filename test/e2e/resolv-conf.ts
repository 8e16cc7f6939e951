/** What a resolv.conf says, in a form to compare: a kubelet writes options in an order that is not the same twice. */
export interface ResolvConfText {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  /** As they stand there, sorted. */
  readonly options: readonly string[];
}

export function parseResolvConf(text: string): ResolvConfText {
  const wordsAfter = (keyword: string): string[] =>
    text
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([first]) => first === keyword)
      .flatMap(([, ...words]) => words);
  return {
    nameservers: wordsAfter("nameserver"),
    searches: wordsAfter("search"),
    options: wordsAfter("options").sort(),
  };
}
