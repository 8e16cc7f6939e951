/** What there is to run, in which version, and where it is found. */
import { createHash } from "node:crypto";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A component whose programs are built from a Go module that lies in `components/<name>/`. */
export interface GoComponent {
  readonly name: string;
  readonly version: string;
  /** Package of each program; the last segment of a package's path that is no version names what `go build` makes. */
  readonly programs: Readonly<Record<string, string>>;
  /** Linker variables to set. */
  readonly variables: Readonly<Record<string, string>>;
}

export const KUBERNETES_VERSION = "1.36.3";

/** Minor version of the control plane: what a kubectl of another origin may be one off from. */
export const KUBERNETES_MINOR = 36;

/** Without its version set, kubectl cannot parse the server's and refuses to compare them. */
const kubernetesVariables = {
  "k8s.io/component-base/version.gitVersion": `v${KUBERNETES_VERSION}`,
  "k8s.io/component-base/version.gitMajor": "1",
  "k8s.io/component-base/version.gitMinor": String(KUBERNETES_MINOR),
};

const CERT_MANAGER_VERSION = "1.21.2";

const GO_COMPONENTS = [
  {
    name: "kubernetes",
    version: KUBERNETES_VERSION,
    programs: {
      "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
      "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
      "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
      kubectl: "k8s.io/kubernetes/cmd/kubectl",
      kubelet: "k8s.io/kubernetes/cmd/kubelet",
    },
    variables: kubernetesVariables,
  },
  {
    name: "etcd",
    version: "3.6.8",
    programs: {
      etcd: "go.etcd.io/etcd/server/v3",
      etcdctl: "go.etcd.io/etcd/etcdctl/v3",
      etcdutl: "go.etcd.io/etcd/etcdutl/v3",
    },
    variables: {},
  },
  { name: "consul", version: "1.19.2", programs: { consul: "github.com/hashicorp/consul" }, variables: {} },
  { name: "kwok", version: "0.8.0", programs: { kwok: "sigs.k8s.io/kwok/cmd/kwok" }, variables: {} },
  {
    name: "containerd",
    version: "2.4.2",
    programs: {
      containerd: "github.com/containerd/containerd/v2/cmd/containerd",
      "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
      ctr: "github.com/containerd/containerd/v2/cmd/ctr",
    },
    variables: { "github.com/containerd/containerd/v2/version.Version": "2.4.2" },
  },
  {
    name: "cert-manager",
    version: `${CERT_MANAGER_VERSION}-${digestOf("cert-manager")}`,
    programs: { "cert-manager": "hygeia.dev/cert-manager" },
    variables: {},
  },
  // Our own: what is kept of an older source is not found.
  { name: "probe", version: digestOf("probe"), programs: { probe: "hygeia.dev/probe" }, variables: {} },
] as const satisfies readonly GoComponent[];

/** Of the source in `components/<name>/`. */
function digestOf(name: string): string {
  const directory = fileURLToPath(new URL(`components/${name}/`, import.meta.url));
  const hash = createHash("sha256");
  for (const file of readdirSync(directory).sort())
    hash.update(`${file}\n`).update(readFileSync(join(directory, file)));
  return hash.digest("hex").slice(0, 12);
}

type KeysOf<T> = T extends unknown ? keyof T : never;

/** A program that can be found or built. */
export type Program = KeysOf<(typeof GO_COMPONENTS)[number]["programs"]>;

/** The component that holds a program. */
export function componentOf(program: Program): GoComponent {
  const found = (GO_COMPONENTS as readonly GoComponent[]).find((component) => program in component.programs);
  if (found === undefined) throw new Error(`no component holds ${program}`);
  return found;
}

export const NACOS_VERSION = "3.1.0";

/** Where everything built is kept. */
function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hygeia");
}

/** The kept programs of one component. */
export function cachedComponent(name: string, version: string): string {
  return join(cacheDirectory(), `${name}-${version}`);
}

/**
 * A program in a directory that the user named: HYGEIA_COMPONENTS for all, KUBEBUILDER_ASSETS for those that envtest
 * ships (kube-apiserver, etcd, kubectl).
 */
export function givenProgram(program: Program): string | undefined {
  const directories = [process.env["HYGEIA_COMPONENTS"], process.env["KUBEBUILDER_ASSETS"]];
  return executableIn(directories, program);
}

/** A program on PATH. */
export function programOnPath(program: string): string | undefined {
  return executableIn((process.env["PATH"] ?? "").split(delimiter), program);
}

/** A program built earlier. */
export function cachedProgram(program: Program): string | undefined {
  const { name, version } = componentOf(program);
  return executableIn([cachedComponent(name, version)], program);
}

function executableIn(directories: readonly (string | undefined)[], program: string): string | undefined {
  return directories
    .filter((directory) => directory !== undefined && directory !== "")
    .map((directory) => join(directory ?? "", program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
