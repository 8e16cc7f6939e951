import { generateKeyPairSync, randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Agent, request } from "undici";
import { stringify } from "yaml";

import { findProgram } from "./components.ts";
import { startEtcd } from "./etcd.ts";
import { releasePorts, reservePorts } from "./ports.ts";
import { type ManagedProcess, startProcess } from "./process.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./supervisor.ts";

export interface ControlPlaneOptions {
  readonly controllerManager?: boolean;
  readonly scheduler?: boolean;
  readonly log?: (line: string) => void;
}

/** A running Kubernetes control plane. */
export interface ControlPlane {
  /** Path of a kubeconfig with cluster-admin rights. */
  readonly kubeconfig: string;
  readonly url: string;
  readonly caFile: string;
  /** Bearer token with cluster-admin rights. */
  readonly token: string;
  /** Path of a kubectl program within the version skew. */
  readonly kubectl: string;
  /** Client URL of the control plane's own etcd. */
  readonly etcdUrl: string;
  readonly apiserver: ManagedProcess;
  readonly etcd: ManagedProcess;
  /** Ends everything and removes the data. */
  stop(): Promise<void>;
}

/** Starts etcd and a kube-apiserver on it, on free ports of 127.0.0.1, and what else the options ask for. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const directory = makeTemporaryDirectory("kubernetes");
  const file = (name: string): string => join(directory, name);
  const etcd = await startEtcd();
  const etcdUrl = etcd.endpoints[0] ?? "";
  const etcdMember = etcd.members[0];
  if (etcdMember === undefined) throw new Error("startEtcd promised one member");
  const ports = await reservePorts(3);
  const [apiPort = 0, managerPort = 0, schedulerPort = 0] = ports;

  const key = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  writeFileSync(file("sa.key"), key.privateKey, { mode: 0o600 });
  writeFileSync(file("sa.pub"), key.publicKey);
  const token = randomUUID();
  writeFileSync(file("tokens.csv"), `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });

  const url = `https://127.0.0.1:${apiPort}`;
  const caFile = file("certificates/apiserver.crt");
  const apiserver = await startProcess({
    name: "kube-apiserver",
    command: await findProgram("kube-apiserver"),
    args: [
      `--etcd-servers=${etcdUrl}`,
      `--cert-dir=${file("certificates")}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${apiPort}`,
      `--service-account-key-file=${file("sa.pub")}`,
      `--service-account-signing-key-file=${file("sa.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-cluster-ip-range=10.255.0.0/16",
      "--authorization-mode=RBAC",
      `--token-auth-file=${file("tokens.csv")}`,
    ],
    logFile: file("kube-apiserver.log"),
    ready: async () => {
      if (!existsSync(caFile)) return false;
      const dispatcher = new Agent({ connect: { ca: readFileSync(caFile) } });
      try {
        const response = await request(`${url}/readyz`, { dispatcher, headers: { authorization: `Bearer ${token}` } });
        await response.body.dump();
        return response.statusCode === 200;
      } finally {
        await dispatcher.destroy();
      }
    },
    stopGrace: 0,
  });

  writeFileSync(
    file("kubeconfig"),
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: url, "certificate-authority": caFile } }],
      users: [{ name: "admin", user: { token } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
      "current-context": "test",
    }),
    { mode: 0o600 },
  );

  const others: ManagedProcess[] = [];
  const healthy = (port: number) => async (): Promise<boolean> => {
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    try {
      const response = await request(`https://127.0.0.1:${port}/healthz`, { dispatcher });
      await response.body.dump();
      return response.statusCode === 200;
    } finally {
      await dispatcher.destroy();
    }
  };
  if (options.controllerManager === true) {
    others.push(
      await startProcess({
        name: "kube-controller-manager",
        command: await findProgram("kube-controller-manager"),
        args: [
          `--kubeconfig=${file("kubeconfig")}`,
          `--service-account-private-key-file=${file("sa.key")}`,
          `--root-ca-file=${caFile}`,
          "--leader-elect=false",
          "--bind-address=127.0.0.1",
          `--secure-port=${managerPort}`,
          `--cert-dir=${file("certificates-manager")}`,
          "--kube-api-qps=500",
          "--kube-api-burst=1000",
        ],
        logFile: file("kube-controller-manager.log"),
        ready: healthy(managerPort),
      }),
    );
  }
  if (options.scheduler === true) {
    others.push(
      await startProcess({
        name: "kube-scheduler",
        command: await findProgram("kube-scheduler"),
        args: [
          `--kubeconfig=${file("kubeconfig")}`,
          "--leader-elect=false",
          "--bind-address=127.0.0.1",
          `--secure-port=${schedulerPort}`,
          `--cert-dir=${file("certificates-scheduler")}`,
        ],
        logFile: file("kube-scheduler.log"),
        ready: healthy(schedulerPort),
      }),
    );
  }

  return {
    kubeconfig: file("kubeconfig"),
    url,
    caFile,
    token,
    kubectl: "kubectl",
    etcdUrl,
    apiserver,
    etcd: etcdMember,
    stop: async () => {
      await Promise.all(others.map((process) => process.stop()));
      await apiserver.stop();
      await etcd.stop();
      releasePorts(ports);
      removeTemporaryDirectory(directory);
    },
  };
}
