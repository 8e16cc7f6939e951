/** A host name as programs write it, and what it stands for. */
export interface LookedUpName {
  readonly name: string;
  /** The full name that has the addresses, without a dot at the end. */
  readonly target: string;
  /** Few programs write it so: a name that only costs a warning when it is lost. */
  readonly isRare?: boolean;
}

/**
 * The ways in which a program in a pod writes the names of services, of pods behind a headless service, and of hosts
 * outside of the cluster.
 * @param namespace of the pod
 */
export function typicalNames(namespace: string, clusterDomain: string): readonly LookedUpName[] {
  const other = namespace === "other" ? "another" : "other";
  const service = `api.${other}.svc.${clusterDomain}`;
  const pod = `db-0.db.${other}.svc.${clusterDomain}`;
  const outside = "s3.us-east-1.amazonaws.com";
  return [
    { name: "web", target: `web.${namespace}.svc.${clusterDomain}` },
    { name: "db-0.db", target: `db-0.db.${namespace}.svc.${clusterDomain}` },
    { name: `api.${other}`, target: service },
    { name: `api.${other}.svc`, target: service },
    { name: `db-0.db.${other}`, target: pod },
    { name: `db-0.db.${other}.svc`, target: pod, isRare: true },
    { name: service, target: service },
    { name: pod, target: pod },
    { name: "example.com", target: "example.com" },
    { name: outside, target: outside },
    { name: `${outside}.`, target: outside },
  ];
}

/**
 * What a name that somebody asks about stands for, by its look: without dots a service of the pod's namespace, ending
 * in `.svc` one of the cluster, else itself.
 * @param name may be written `name=target` where the look deceives
 */
export function namedBy(name: string, namespace: string, clusterDomain: string): LookedUpName {
  const [written = "", target] = name.split("=");
  if (target !== undefined) return { name: written, target: target.replace(/\.$/, "") };
  if (!written.includes(".")) return { name: written, target: `${written}.${namespace}.svc.${clusterDomain}` };
  if (written.endsWith(".svc")) return { name: written, target: `${written}.${clusterDomain}` };
  return { name: written, target: written.replace(/\.$/, "") };
}
