import { readFileSync } from "node:fs";

/** What runs: for --version, the first line of the log and `hygeia_build_info`. */
export interface BuildInfo {
  readonly version: string;
  /** The git commit it was built from; empty when the build did not say. */
  readonly commit: string;
  readonly node: string;
}

/** Set in the image by its build; see Dockerfile. */
const COMMIT_VARIABLE = "HYGEIA_COMMIT";

/** @param env the environment of this process */
export function buildInfo(env: NodeJS.ProcessEnv): BuildInfo {
  // Beside src/ in the source tree, and beside dist/ in the image.
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return { version, commit: env[COMMIT_VARIABLE] ?? "", node: process.versions.node };
}

/** The line that --version prints. */
export function describeBuild({ version, commit, node }: BuildInfo): string {
  return `hygeia ${version}${commit === "" ? "" : ` (commit ${commit})`}, Node ${node}\n`;
}
