import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { programOnPath } from "../components.ts";
import { cgroupHierarchies } from "./cgroups.ts";

/** Where distributions put CNI plugins. */
const PLUGIN_DIRECTORIES = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
const PLUGINS = ["bridge", "host-local", "loopback"];

/** Programs that are run as they are found on PATH, and the Debian package of each. */
const PROGRAMS = {
  runc: "runc",
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
  tar: "tar",
  getent: "libc-bin",
  ldd: "libc-bin",
};

/** The directory that holds the CNI plugins which pods need; undefined where there is none. */
export function pluginDirectory(): string | undefined {
  return PLUGIN_DIRECTORIES.find((directory) => PLUGINS.every((plugin) => existsSync(join(directory, plugin))));
}

/** Why this machine cannot run a real node, in one line that says how to change that; undefined where it can. */
export function whyNoRealNode(): string | undefined {
  if (process.platform !== "linux") return `a real node needs Linux, and this is ${process.platform}`;
  if (process.geteuid?.() !== 0) return "a real node needs root: run the tests as root (sudo -E npm test)";
  const missing = Object.entries(PROGRAMS).filter(([program]) => programOnPath(program) === undefined);
  const packages = new Set(missing.map(([, name]) => name));
  const names = missing.map(([program]) => program);
  if (pluginDirectory() === undefined) {
    packages.add("containernetworking-plugins");
    names.push(`the CNI plugins ${PLUGINS.join(", ")} in one of ${PLUGIN_DIRECTORIES.join(", ")}`);
  }
  if (names.length > 0) return `missing: ${names.join("; ")} (Debian: apt-get install ${[...packages].join(" ")})`;
  return whatIsForbidden();
}

/** Tries what a node does, each thing in a namespace that is gone at once. */
function whatIsForbidden(): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "hygeia-node-try-"));
  try {
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(directory, name));
    return (
      failure("namespaces", "--mount --net --pid --fork --mount-proc", "true") ??
      failure(
        "an overlay mount",
        "--mount",
        'mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=work" overlay merged',
        directory,
      ) ??
      failure("a network bridge", "--net", "ip link add name try0 type bridge") ??
      failure("virtual network links", "--net", "ip link add name try1 type veth peer name try2") ??
      cgroupFailure()
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function failure(what: string, namespaces: string, command: string, cwd = "/"): string | undefined {
  try {
    const args = [...namespaces.split(" "), "sh", "-c", command];
    execFileSync("unshare", args, { cwd, stdio: ["ignore", "ignore", "pipe"], timeout: 30_000 });
    return undefined;
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    const said = stderr?.toString().trim().split("\n").at(-1) ?? String(error);
    return `this machine does not allow ${what} (${said}): run the tests in a virtual machine`;
  }
}

function cgroupFailure(): string | undefined {
  try {
    for (const hierarchy of cgroupHierarchies()) {
      const directory = join(hierarchy, `hygeia-node-try-${process.pid}`);
      mkdirSync(directory);
      rmdirSync(directory);
    }
    return undefined;
  } catch (error) {
    return `this machine does not allow control groups (${String(error)}): run the tests in a virtual machine`;
  }
}
