import { readFileSync } from "node:fs";

/** Clock ticks a second of /proc: the same on every Linux that Node runs on. */
const TICKS = 100;

/** What the kernel says of a process. */
export interface ProcessFigures {
  /** User and system time since its start, seconds. */
  readonly cpuSeconds: number;
  readonly residentMebibytes: number;
  readonly peakMebibytes: number;
}

/** Reads /proc: Linux only. */
export function figuresOf(pid: number): ProcessFigures {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold spaces; utime and stime are the 14th and 15th fields of the line.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
    residentMebibytes: kibibytes("VmRSS") / 1024,
    peakMebibytes: kibibytes("VmHWM") / 1024,
  };
}
