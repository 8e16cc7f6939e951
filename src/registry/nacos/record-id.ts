import type { NacosInstance } from "./model.ts";

/** What names one instance in a Nacos: nothing else of it is needed to find it again. */
export type InstanceRef = Pick<NacosInstance, "group" | "service" | "cluster" | "ip" | "port"> & {
  readonly namespace: string;
};

/** The id of a record: the parts that name it, separated by slashes; a slash inside a part is written `%2F`. */
export function formatId({ namespace, group, service, cluster, ip, port }: InstanceRef): string {
  return [namespace, group, service, cluster, ip, String(port)].map(escaped).join("/");
}

/** @throws TypeError when the text is no id of a Nacos record */
export function parseId(id: string): InstanceRef {
  const parts = id.split("/").map((part) => part.replaceAll("%2F", "/").replaceAll("%25", "%"));
  const [namespace, group, service, cluster, ip, port] = parts;
  if (
    parts.length !== 6 ||
    namespace === undefined ||
    group === undefined ||
    service === undefined ||
    cluster === undefined ||
    ip === undefined ||
    parts.includes("") ||
    !/^\d{1,5}$/.test(port ?? "")
  )
    throw new TypeError("not the id of a Nacos record");
  return { namespace, group, service, cluster, ip, port: Number(port) };
}

function escaped(part: string): string {
  return part.replaceAll("%", "%25").replaceAll("/", "%2F");
}
