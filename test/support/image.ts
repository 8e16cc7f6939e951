import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a container of our image runs. */
export interface Image {
  /** Of node. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Makes what Dockerfile makes, in a directory instead of an image: the build from nothing but the files that it copies, and
 * beside it the dependencies that are not for development alone.
 */
export async function layOutImage(directory: string): Promise<Image> {
  const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  const [build, app] = ["build", "app"].map((name) => join(directory, name)) as [string, string];
  copyAsTold(stageOf(dockerfile, / AS build$/m), build);
  symlinkSync(join(ROOT, "node_modules"), join(build, "node_modules"));
  await promisify(execFile)("npm", ["run", "build"], { cwd: build });
  const last = stageOf(dockerfile, /\nENTRYPOINT /);
  copyAsTold(last, app);
  linkProductionDependencies(join(app, "node_modules"));
  renameSync(join(build, "dist"), join(app, "dist"));
  const [node, ...args] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(last)?.[1] ?? "[]") as string[];
  if (node !== "node") throw new Error(`the image runs ${node}, not node`);
  return { args, cwd: app, env: { NODE_ENV: /^ENV NODE_ENV=(.*)$/m.exec(last)?.[1] ?? "" } };
}

function stageOf(dockerfile: string, mark: RegExp): string {
  const found = dockerfile.split(/^(?=FROM )/m).find((stage) => mark.test(stage));
  if (found === undefined) throw new Error(`no stage of Dockerfile matches ${mark}`);
  return found;
}

/** What a stage copies out of the source tree, as far as .dockerignore lets it. */
function copyAsTold(stage: string, directory: string): void {
  const allowed = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n");
  mkdirSync(directory);
  for (const [, names = "", target = ""] of stage.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)) {
    for (const name of names.split(" ")) {
      if (!allowed.includes(`!${name}`)) throw new Error(`.dockerignore keeps ${name} from the build`);
      const to = join(directory, target, target.endsWith("/") ? name : "");
      cpSync(join(ROOT, name), to, { recursive: true, filter: (path) => !path.endsWith(".test.ts") });
    }
  }
}

/** Links, not copies: what a dependency needs it finds beside itself, what we import is found here or not at all. */
function linkProductionDependencies(directory: string): void {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  for (const [path, { dev = false }] of Object.entries(packages)) {
    const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1];
    if (name === undefined || dev) continue;
    const link = join(directory, name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(ROOT, path), link);
  }
}
