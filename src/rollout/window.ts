import { Cron } from "croner";

/** When roll-outs may begin. Wall time, because people agree on it. */
export interface MaintenanceWindow {
  /** Undefined while it is open; else when it opens next, or that it never does. */
  closedAt(now: Date): { readonly opensAt: Date | undefined } | undefined;
}

interface WindowText {
  readonly schedule: string;
  readonly timeZone: string;
}

/**
 * A window that opens by a cron schedule in a time zone and stays open for a while.
 * @returns a problem that names the field where the schedule or the zone can not be meant
 */
export function compileWindow(
  { schedule, timeZone }: WindowText,
  durationMs: number,
): { readonly window: MaintenanceWindow } | { readonly problem: string } {
  if (!isTimeZone(timeZone)) {
    const problem = `spec.rollout.maintenanceWindow.timeZone: "${timeZone}" is no time zone: write one such as Europe/Berlin`;
    return { problem };
  }
  let cron: Cron;
  try {
    // Never started: it only answers when it would run.
    cron = new Cron(schedule, { timezone: timeZone, mode: "5-part", paused: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const problem = `spec.rollout.maintenanceWindow.schedule: "${schedule}" is no cron schedule (${why}): write one such as "0 2 * * 1-5"`;
    return { problem };
  }
  const closedAt = (now: Date): { opensAt: Date | undefined } | undefined => {
    // It opened within the last `durationMs`, or it is closed.
    const opening = cron.nextRun(new Date(now.getTime() - durationMs));
    if (opening !== null && opening <= now) return undefined;
    return { opensAt: opening ?? undefined };
  };
  return { window: { closedAt } };
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
