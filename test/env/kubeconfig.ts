import { writeFileSync } from "node:fs";

import { stringify } from "yaml";

import type { KubeAccess } from "../support/kube-client.ts";

/** Writes a kubeconfig that only its owner may read, and returns its path. */
export function writeKubeconfig(file: string, { url, caFile, token }: KubeAccess): string {
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "hygeia-test", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "user", user: { token } }],
    contexts: [{ name: "hygeia-test", context: { cluster: "hygeia-test", user: "user" } }],
    "current-context": "hygeia-test",
  };
  writeFileSync(file, stringify(content), { mode: 0o600 });
  return file;
}
