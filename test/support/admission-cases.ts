import { againCases } from "./admission-cases/again.ts";
import type { AdmissionCase } from "./admission-cases/case.ts";
import { dnsCases } from "./admission-cases/dns.ts";
import { goCases } from "./admission-cases/go-resolver.ts";
import { keepaliveCases } from "./admission-cases/keepalive.ts";
import { lifecycleCases } from "./admission-cases/lifecycle.ts";
import { wholeCases } from "./admission-cases/whole.ts";

export { dnsPolicy, KEEPALIVE, SITE } from "./admission-cases/case.ts";

/**
 * What is done to a pod, each case under a sentence. Whatever changes pods by a policy must agree with this table. The
 * namespaces of `site` are all one: who runs the cases on a server gives each a namespace with the labels of its site.
 */
export const admissionCases: Readonly<Record<string, AdmissionCase>> = {
  ...dnsCases,
  ...keepaliveCases,
  ...goCases,
  ...lifecycleCases,
  ...wholeCases,
  ...againCases,
};
