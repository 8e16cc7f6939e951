import type { PodSpec } from "./cluster-view-fixture.ts";
import { InstanceStage, POLICY } from "./instance-stage.ts";

export const ID = "/shop/1";
export const HEIR = "/shop/2";
export const IP = "10.42.0.7";
export const owner: PodSpec = { name: "owner", ips: [IP] };
export const next: PodSpec = { name: "next", ips: [IP] };
/** It hangs on a connection: no delete removes it. */
export const held = { removable: "No" } as const;

/** The instance controller with an entry that can only be taken out of rotation. */
export class QuarantineStage extends InstanceStage {
  /** Results in the policy's report, latest first. */
  results(): string[] {
    return this.entries().map(({ result }) => result);
  }

  quarantined(): number {
    return this.controller.summary.quarantined(POLICY);
  }

  /** What was told of releases. */
  released(): string[] {
    return this.told.filter((text) => text.startsWith("released"));
  }

  /** `hygeia_releases_total` with these labels. */
  async releases(labels: Readonly<Record<string, string>>): Promise<number> {
    return (await this.scrape()).sum("hygeia_releases_total", labels);
  }

  /** One of which no delete removes the entry has died, and is out of rotation by us. */
  async zombie(): Promise<void> {
    await this.living(owner, ID, held);
    this.kill(owner);
    await this.advance(0);
    if (this.isQuarantined(ID) !== true) throw new Error("not in quarantine");
    await this.advance(2_000);
  }

  /** Somebody else takes the entry out of rotation. */
  disable(id: string): void {
    this.server.setQuarantined(id, true);
  }
}
