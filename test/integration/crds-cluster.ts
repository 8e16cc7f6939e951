import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { Agent, request } from "undici";

import { startControlPlane } from "../env/index.ts";

export const ROOT = join(import.meta.dirname, "../..");

/** What kubectl printed; `code` is its exit code. */
export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ApiAnswer {
  readonly status: number;
  /** The object, or the API server's Status when it refused. */
  readonly body: {
    readonly kind: string;
    readonly message?: string;
    readonly details?: { readonly causes?: readonly { readonly field: string; readonly message: string }[] };
    readonly spec?: unknown;
    readonly status?: Record<string, unknown>;
    readonly metadata: Record<string, unknown>;
  };
}

/** A control plane of a test's own, so that objects it makes disturb no other test. */
export interface Cluster {
  kubectl(...args: readonly string[]): Promise<KubectlResult>;
  /** Unknown fields are refused, as kubectl does. */
  call(
    method: "GET" | "POST" | "PUT" | "PATCH",
    path: string,
    body?: unknown,
    query?: Readonly<Record<string, string>>,
  ): Promise<ApiAnswer>;
  stop(): Promise<void>;
}

export async function startCluster(options: { controllerManager: boolean }): Promise<Cluster> {
  const plane = await startControlPlane(options);
  const dispatcher = new Agent({ connect: { ca: readFileSync(plane.caFile, "utf8") } });
  return {
    kubectl: (...args) =>
      new Promise((resolve) => {
        const command = ["--kubeconfig", plane.kubeconfig, ...args];
        execFile(plane.kubectl, command, { cwd: ROOT, timeout: 60_000 }, (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr });
        });
      }),
    call: async (method, path, body, query = {}) => {
      const response = await request(`${plane.url}${path}`, {
        method,
        dispatcher,
        query: { fieldValidation: "Strict", ...query },
        headers: {
          authorization: `Bearer ${plane.token}`,
          "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      return { status: response.statusCode, body: (await response.body.json()) as ApiAnswer["body"] };
    },
    stop: async () => {
      await dispatcher.close();
      await plane.stop();
    },
  };
}

/**
 * Repeats a look until it pleases.
 * @throws Error after 30 s, with what was seen last
 */
export async function eventually<T>(look: () => Promise<T>, pleases: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const seen = await look();
    if (pleases(seen)) return seen;
    if (performance.now() > deadline) throw new Error(`not so after 30 s: ${JSON.stringify(seen)}`);
    await delay(100);
  }
}

/** Installs crds/ and waits until the API server serves them. */
export async function installCrds(cluster: Cluster): Promise<void> {
  const applied = await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", "crds");
  if (applied.code !== 0) throw new Error(applied.stderr);
  const names = ["registries", "registrationpolicies", "registrationreports"].map(
    (plural) => `crd/${plural}.hygeia.dev`,
  );
  const waited = await cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", ...names);
  if (waited.code !== 0) throw new Error(waited.stderr);
}
