import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** An image of one layer. */
export interface ImageSpec {
  /** With its tag. */
  readonly name: string;
  /** Path in the image -> file of this machine (links are followed). */
  readonly files: Readonly<Record<string, string>>;
  /** Path in the image -> content. */
  readonly texts?: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
}

/** GOARCH of each of Node's. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/**
 * Writes an image as `docker save` would, to be imported without a registry.
 * @param directory an empty one
 * @returns path of the archive
 */
export function writeImage(directory: string, { name, files, texts = {}, entrypoint }: ImageSpec): string {
  const root = join(directory, "root");
  const place = (path: string): string => {
    const target = join(root, path);
    mkdirSync(dirname(target), { recursive: true });
    return target;
  };
  mkdirSync(join(root, "tmp"), { recursive: true });
  for (const [path, file] of Object.entries(files)) copyFileSync(file, place(path));
  for (const [path, text] of Object.entries(texts)) writeFileSync(place(path), text);
  tar(join(directory, "layer.tar"), root, ".");

  const digest = createHash("sha256")
    .update(readFileSync(join(directory, "layer.tar")))
    .digest("hex");
  const config = {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    config: { Entrypoint: entrypoint },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
  };
  const manifest = [{ Config: "config.json", RepoTags: [name], Layers: ["layer.tar"] }];
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
  const archive = join(directory, "image.tar");
  tar(archive, directory, "manifest.json", "config.json", "layer.tar");
  return archive;
}

function tar(archive: string, directory: string, ...names: readonly string[]): void {
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  execFileSync("tar", ["--create", `--file=${archive}`, `--directory=${directory}`, ...owner, ...names]);
}

/** What a glibc before 2.34 loads to look up names, without that a program says so. */
const LOADED_LATER = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/** Path -> path of the shared libraries that a program of this machine needs, with the loader. */
export function librariesOf(program: string): Record<string, string> {
  const listed = execFileSync("ldd", [program], { encoding: "utf8" });
  // Such as "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)".
  const needed = [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  const directories = new Set(needed.filter((path) => path.includes("/libc.so")).map(dirname));
  const later = [...directories].flatMap((directory) => LOADED_LATER.map((name) => join(directory, name)));
  return Object.fromEntries([...needed, ...later.filter((path) => existsSync(path))].map((path) => [path, path]));
}
