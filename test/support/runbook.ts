import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const PAGE = readFileSync(join(import.meta.dirname, "../../docs/runbook.md"), "utf8");

/**
 * The commands of one section of docs/runbook.md, block by block as they stand there.
 * @throws Error when there is no such section
 */
export function commandsOf(title: string): readonly string[] {
  const section = PAGE.split(/^#+ /m).find((text) => text.startsWith(`${title}\n`));
  if (section === undefined) throw new Error(`docs/runbook.md has no section ${title}`);
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands = ""]) => commands);
}

/**
 * Runs commands as a person does in one shell, and ends at the first that fails.
 * @param programs paths of programs that they name
 * @throws Error with what they say
 */
export async function runCommands(
  blocks: readonly string[],
  {
    programs,
    variables,
  }: { readonly programs: readonly string[]; readonly variables: Readonly<Record<string, string>> },
): Promise<string> {
  const path = [...programs.map((program) => join(program, "..")), process.env["PATH"]].join(delimiter);
  const env = { ...process.env, ...variables, PATH: path };
  return new Promise((resolve, reject) => {
    const args = ["-euo", "pipefail", "-c", blocks.join("\n")];
    execFile("bash", args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${blocks.join("\n")}\nends with ${String(error.code)}: ${stderr}${stdout}`));
    });
  });
}
