import { join } from "node:path";

import { Agent, request } from "undici";

import { type Apiserver, startApiserver, writeControlPlaneFiles } from "./apiserver.ts";
import type { Log } from "./build.ts";
import type { Program } from "./components.ts";
import { type EtcdServer, startEtcd } from "./etcd.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { startKwok } from "./kwok.ts";
import type { ManagedProcess } from "./process.ts";
import { findKubectl, findPrograms } from "./programs.ts";
import { inScope, type Scope } from "./scope.ts";

export interface ControlPlaneOptions {
  /** Starts kube-controller-manager: ServiceAccounts, owner references, PodGC, node lifecycle. Default false. */
  readonly controllerManager?: boolean;
  /** Starts kube-scheduler. Default false. */
  readonly scheduler?: boolean;
  /** Starts kwok, which plays the kubelet of every node. Default false. */
  readonly kwok?: boolean;
  /** How many nodes kwok plays; default 0. */
  readonly nodes?: number;
  /** How many servers the control plane's own etcd has; default 1. */
  readonly etcdMembers?: 1 | 3;
  /** Further flags; a flag given twice counts as given last. */
  readonly apiserverFlags?: readonly string[];
  readonly controllerManagerFlags?: readonly string[];
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the control plane is stopped with too. */
  readonly scope?: Scope;
}

/** A running Kubernetes control plane. */
export interface ControlPlane {
  /** Path of a kubeconfig with cluster-admin rights. */
  readonly kubeconfig: string;
  readonly url: string;
  /** Path of the PEM file with the authority of the apiserver's certificate. */
  readonly caFile: string;
  /** Bearer token with cluster-admin rights. */
  readonly token: string;
  /** Path of a kubectl program within the version skew. */
  readonly kubectl: string;
  /** Client URL of the first member of the control plane's own etcd. */
  readonly etcdUrl: string;
  readonly apiserver: ManagedProcess;
  /** The first member of the control plane's own etcd. */
  readonly etcd: ManagedProcess;
  /** All of the control plane's own etcd. */
  readonly etcdServer: EtcdServer;
  /**
   * Starts a further apiserver, with the same certificate and tokens; it is stopped with the control plane.
   * @param etcdEndpoints what it stores in; default the control plane's own etcd
   */
  startApiserver(options?: {
    readonly etcdEndpoints?: readonly string[];
    readonly flags?: readonly string[];
  }): Promise<Apiserver>;
  /** Ends everything and removes the data. */
  stop(): Promise<void>;
}

/** Starts etcd and a kube-apiserver on it, on free ports of 127.0.0.1, and what else the options ask for. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const wanted: Program[] = ["etcd", "etcdctl", "kube-apiserver"];
  if (options.controllerManager === true) wanted.push("kube-controller-manager");
  if (options.scheduler === true) wanted.push("kube-scheduler");
  if (options.kwok === true) wanted.push("kwok");
  const programs = await findPrograms(wanted, options.log);
  const kubectl = await findKubectl(options.log);

  return inScope(options.scope, async (scope) => {
    const files = writeControlPlaneFiles(scope.directory("kubernetes"));
    const etcd = await startEtcd({ name: "kube-etcd", members: options.etcdMembers ?? 1, scope });
    const [etcdMember] = etcd.members;
    const [etcdUrl] = etcd.endpoints;
    if (etcdMember === undefined || etcdUrl === undefined) throw new Error("startEtcd promised a member");

    const start = (name: string, etcdEndpoints: readonly string[], flags: readonly string[]): Promise<Apiserver> =>
      startApiserver(scope, { program: programs["kube-apiserver"], name, files, etcdEndpoints, flags });
    const { url, process: apiserver } = await start("kube-apiserver", etcd.endpoints, options.apiserverFlags ?? []);
    const access = { url, caFile: files.caFile, token: files.adminToken };
    const kubeconfig = writeKubeconfig(join(files.directory, "kubeconfig"), access);

    const controller = async (name: "kube-controller-manager" | "kube-scheduler", flags: readonly string[]) => {
      const [port = 0] = await scope.ports(1);
      return scope.start({
        name,
        command: programs[name],
        args: [
          `--kubeconfig=${kubeconfig}`,
          "--leader-elect=false",
          "--bind-address=127.0.0.1",
          `--secure-port=${port}`,
          `--cert-dir=${join(files.directory, name)}`,
          // The defaults create 25 objects a second; a test does not wait for that.
          "--kube-api-qps=500",
          "--kube-api-burst=1000",
          ...flags,
        ],
        logFile: join(files.directory, `${name}.log`),
        ready: () => isHealthy(`https://127.0.0.1:${port}/healthz`),
      });
    };
    await Promise.all([
      options.controllerManager === true &&
        controller("kube-controller-manager", [
          `--service-account-private-key-file=${files.serviceAccountKeyFile}`,
          `--root-ca-file=${files.caFile}`,
          ...(options.controllerManagerFlags ?? []),
        ]),
      options.scheduler === true && controller("kube-scheduler", []),
      options.kwok === true &&
        startKwok(scope, { program: programs.kwok, kubeconfig, access, nodes: options.nodes ?? 0 }),
    ]);

    let apiservers = 1;
    return {
      kubeconfig,
      url,
      caFile: files.caFile,
      token: files.adminToken,
      kubectl,
      etcdUrl,
      apiserver,
      etcd: etcdMember,
      etcdServer: etcd,
      startApiserver: ({ etcdEndpoints = etcd.endpoints, flags = [] } = {}) =>
        start(`kube-apiserver-${++apiservers}`, etcdEndpoints, flags),
      stop: () => scope.stop(),
    };
  });
}

/** The certificate is self-signed, and nothing secret is sent. */
async function isHealthy(url: string): Promise<boolean> {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const response = await request(url, { dispatcher });
    await response.body.dump();
    return response.statusCode === 200;
  } finally {
    await dispatcher.destroy();
  }
}
