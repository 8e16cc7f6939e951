import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where built components are kept: `<component>-<version>/<program>`. */
export function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hygeia");
}

const COMPONENTS = {
  kubernetes: { version: "1.36.3", programs: ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"] },
  etcd: { version: "3.6.8", programs: ["etcd", "etcdctl", "etcdutl"] },
  consul: { version: "1.19.2", programs: ["consul"] },
  kwok: { version: "0.8.0", programs: ["kwok"] },
} as const;

type Program = (typeof COMPONENTS)[keyof typeof COMPONENTS]["programs"][number];

/** The path of a component's program. */
export async function findProgram(program: Program): Promise<string> {
  for (const [name, component] of Object.entries(COMPONENTS)) {
    if (!(component.programs as readonly string[]).includes(program)) continue;
    const path = join(cacheDirectory(), `${name}-${component.version}`, program);
    accessSync(path, constants.X_OK);
    return Promise.resolve(path);
  }
  throw new Error(`no component holds ${program}`);
}
