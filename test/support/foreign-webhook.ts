import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import { createAuthority, issueLeaf } from "../../src/admission/certificates/authority.ts";
import type { KubeObject } from "./kube-client.ts";

/** A pod as the API server sends it. */
export interface ReviewedPod extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** What is answered: everything of an AdmissionResponse but its uid. */
export type Verdict =
  | { readonly allowed: true; readonly patch?: readonly object[] }
  | { readonly allowed: false; readonly status: { readonly message: string } };

const HOST = "localhost";
const DAY_MS = 86_400_000;

/** A webhook of somebody else's, which the real API server calls on this machine. */
export class ForeignWebhook {
  readonly #server: Server;
  readonly #authority: string;
  #reviewed = 0;

  private constructor(server: Server, authority: string) {
    this.#server = server;
    this.#authority = authority;
  }

  static async start(judge: (pod: ReviewedPod) => Verdict): Promise<ForeignWebhook> {
    const validity = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };
    const authority = await createAuthority(validity);
    const { certificate: cert, privateKey: key } = await issueLeaf(authority, [HOST], validity);
    const server = createServer({ cert, key }, (request, response) => {
      void text(request).then((body) => {
        const { request: review } = JSON.parse(body) as { request: { uid: string; object: ReviewedPod } };
        webhook.#reviewed += 1;
        const answer = { uid: review.uid, ...encoded(judge(review.object)) };
        const reviewed = { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: answer };
        response.setHeader("content-type", "application/json").end(JSON.stringify(reviewed));
      });
    });
    const webhook = new ForeignWebhook(server, authority.certificate);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return webhook;
  }

  /** How many pods it was asked about. */
  get reviewed(): number {
    return this.#reviewed;
  }

  /** One entry of `webhooks`, about new pods. */
  entry(name: string, fields: object = {}): object {
    const { port } = this.#server.address() as AddressInfo;
    return {
      name,
      clientConfig: {
        url: `https://${HOST}:${port}/`,
        caBundle: Buffer.from(this.#authority).toString("base64"),
      },
      rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }],
      failurePolicy: "Fail",
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      timeoutSeconds: 5,
      ...fields,
    };
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}

function encoded(verdict: Verdict): object {
  if (!verdict.allowed || verdict.patch === undefined) return verdict;
  const patch = Buffer.from(JSON.stringify(verdict.patch)).toString("base64");
  return { allowed: true, patchType: "JSONPatch", patch };
}
