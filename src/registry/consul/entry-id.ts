/**
 * Names one service instance of the catalog. There is no way to have one without a service id: a deregistration without
 * it would take a whole node with everything on it.
 */
export class EntryId {
  readonly node: string;
  readonly service: string;

  /** @throws TypeError when one of the two is empty */
  constructor(node: string, service: string) {
    if (node === "" || service === "") throw new TypeError("an entry has a node and a service id");
    this.node = node;
    this.service = service;
  }

  /** @throws TypeError when the text is no id of a record */
  static parse(text: string): EntryId {
    const slash = text.indexOf("/");
    if (slash < 0) throw new TypeError("not the id of a Consul record");
    return new EntryId(decodeURIComponent(text.slice(0, slash)), text.slice(slash + 1));
  }

  /** `node/service id`; a node's name is free text, so its slashes are encoded. */
  toString(): string {
    return `${encodeURIComponent(this.node)}/${this.service}`;
  }
}
