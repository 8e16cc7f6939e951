import { generateKeyPairSync, randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Agent, request } from "undici";

import type { ManagedProcess } from "./process.ts";
import type { Scope } from "./scope.ts";

/** What the apiservers of one control plane share. */
export interface ControlPlaneFiles {
  readonly directory: string;
  /** Apiservers that share it have the same certificate. */
  readonly certificateDirectory: string;
  readonly caFile: string;
  /** Signs ServiceAccount tokens. */
  readonly serviceAccountKeyFile: string;
  readonly serviceAccountPublicKeyFile: string;
  readonly tokenFile: string;
  /** Bearer token with cluster-admin rights. */
  readonly adminToken: string;
}

/** Makes keys and the administrator's token. */
export function writeControlPlaneFiles(directory: string): ControlPlaneFiles {
  const file = (name: string): string => join(directory, name);
  const key = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  writeFileSync(file("sa.key"), key.privateKey, { mode: 0o600 });
  writeFileSync(file("sa.pub"), key.publicKey);
  const adminToken = randomUUID();
  writeFileSync(file("tokens.csv"), `${adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 });
  return {
    directory,
    certificateDirectory: file("certificates"),
    // Self-signed by the first apiserver at its start, hence its own authority.
    caFile: file("certificates/apiserver.crt"),
    serviceAccountKeyFile: file("sa.key"),
    serviceAccountPublicKeyFile: file("sa.pub"),
    tokenFile: file("tokens.csv"),
    adminToken,
  };
}

export interface ApiserverOptions {
  /** Path of the kube-apiserver program. */
  readonly program: string;
  /** Stands in messages and names the log file. */
  readonly name: string;
  readonly files: ControlPlaneFiles;
  readonly etcdEndpoints: readonly string[];
  readonly flags: readonly string[];
}

/** A running kube-apiserver. */
export interface Apiserver {
  readonly url: string;
  readonly process: ManagedProcess;
}

/** Starts a kube-apiserver with RBAC on a free port of 127.0.0.1. */
export async function startApiserver(scope: Scope, options: ApiserverOptions): Promise<Apiserver> {
  const { files } = options;
  const [port = 0] = await scope.ports(1);
  const url = `https://127.0.0.1:${port}`;
  const process = await scope.start({
    name: options.name,
    command: options.program,
    args: [
      `--etcd-servers=${options.etcdEndpoints.join(",")}`,
      `--cert-dir=${files.certificateDirectory}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${port}`,
      `--service-account-key-file=${files.serviceAccountPublicKeyFile}`,
      `--service-account-signing-key-file=${files.serviceAccountKeyFile}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-cluster-ip-range=10.255.0.0/16",
      "--authorization-mode=RBAC",
      `--token-auth-file=${files.tokenFile}`,
      ...options.flags,
    ],
    logFile: join(files.directory, `${options.name}.log`),
    ready: async () => existsSync(files.caFile) && (await answers(`${url}/readyz`, files)),
    // Asked to end, it would wait a minute for its watches to end.
    stopGrace: 0,
  });
  return { url, process };
}

async function answers(url: string, { caFile, adminToken }: ControlPlaneFiles): Promise<boolean> {
  const dispatcher = new Agent({ connect: { ca: readFileSync(caFile) } });
  try {
    const response = await request(url, { dispatcher, headers: { authorization: `Bearer ${adminToken}` } });
    await response.body.dump();
    return response.statusCode === 200;
  } finally {
    await dispatcher.destroy();
  }
}
