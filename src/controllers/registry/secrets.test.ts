import { beforeAll, describe, expect, test } from "vitest";

import { createAuthority, type Authority, type KeyPair } from "../../../test/env/certificates.ts";
import type { RegistrySpec } from "../../api/v1alpha1/index.ts";
import { KubeError } from "../../kube/http-errors.ts";
import { resolveCredentials, type SecretData } from "./secrets.ts";

type Spec = Pick<RegistrySpec, "tls" | "credentials" | "consul">;

let authority: Authority;
let client: KeyPair;
let other: KeyPair;

beforeAll(async () => {
  authority = await createAuthority("a");
  client = await authority.issue({ commonName: "client" });
  other = await authority.issue({ commonName: "other" });
});

const full: Spec = {
  tls: { caSecretRef: { name: "ca", key: "ca.crt" }, clientCertificateSecretRef: { name: "client" } },
  credentials: { secretRef: { name: "login" } },
  consul: { tokenSecretRef: { name: "consul", key: "token" }, recordPrefix: "hygeia" },
};

function secrets(): Record<string, Record<string, string>> {
  return {
    ca: { "ca.crt": authority.certificate },
    client: { "tls.crt": client.certificate, "tls.key": client.key },
    login: { username: "u", password: "hunter2" },
    consul: { token: "hunter-token\n" },
  };
}

async function resolve(spec: Spec, from: Record<string, Record<string, string>>) {
  const read = (name: string): Promise<SecretData | undefined> => {
    const data = from[name];
    return Promise.resolve(data && new Map(Object.entries(data)));
  };
  return await resolveCredentials(spec, read, new AbortController().signal);
}

describe("credentials", () => {
  test("are everything that the spec names", async () => {
    const found = await resolve(full, secrets());
    expect(found).toMatchObject({
      ok: true,
      credentials: {
        ca: authority.certificate,
        client: { certificate: client.certificate, privateKey: client.key },
        login: { username: "u", password: "hunter2" },
        token: "hunter-token",
      },
    });
  });

  test("are none when the spec names none, and no Secret is read", async () => {
    const read = () => Promise.reject(new Error("nothing is to be read"));
    const found = await resolveCredentials({}, read, new AbortController().signal);
    expect(found).toMatchObject({ ok: true, credentials: { ca: undefined, client: undefined, login: undefined } });
  });

  test("have another digest when any part is another, and the same when none is", async () => {
    const digestOf = async (change: (all: Record<string, Record<string, string>>) => void): Promise<string> => {
      const all = secrets();
      change(all);
      const found = await resolve(full, all);
      if (!found.ok) throw new Error(found.problem.message);
      return found.credentials.digest;
    };
    const changes: ((all: Record<string, Record<string, string>>) => void)[] = [
      () => undefined,
      (all) => (all["ca"] = { "ca.crt": `${authority.certificate}\n${authority.certificate}` }),
      (all) => (all["client"] = { "tls.crt": other.certificate, "tls.key": other.key }),
      (all) => (all["login"] = { username: "v", password: "hunter2" }),
      (all) => (all["login"] = { username: "u", password: "hunter3" }),
      (all) => (all["consul"] = { token: "hunter-other" }),
    ];
    const digests = await Promise.all(changes.map(digestOf));
    expect(new Set(digests).size).toBe(changes.length);
    expect(await digestOf(() => undefined)).toBe(digests[0]);
    expect(digests.join()).not.toContain("hunter");
  });

  const problems: Record<string, { change: (all: ReturnType<typeof secrets>) => void; reason: string; says: RegExp }> =
    {
      "of a Secret that does not exist": {
        change: (all) => delete all["login"],
        reason: "SecretNotFound",
        says: /^spec\.credentials\.secretRef: there is no Secret "login" in the operator's namespace/,
      },
      "of a key that is missing": {
        change: (all) => (all["login"] = { username: "u" }),
        reason: "SecretKeyMissing",
        says: /^spec\.credentials\.secretRef: Secret "login" has no key "password"$/,
      },
      "of a key without a value": {
        change: (all) => (all["login"] = { username: "", password: "hunter2" }),
        reason: "SecretKeyMissing",
        says: /Secret "login" has nothing under the key "username"$/,
      },
      "of an authority that is no certificate": {
        change: (all) => (all["ca"] = { "ca.crt": "hunter2" }),
        reason: "SecretInvalid",
        says: /^spec\.tls\.caSecretRef: the value under "ca\.crt" in Secret "ca" is no PEM certificate$/,
      },
      "of a broken certificate": {
        change: (all) =>
          (all["ca"] = { "ca.crt": "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n" }),
        reason: "SecretInvalid",
        says: /"ca\.crt" in Secret "ca" is no PEM certificate$/,
      },
      "of a private key that is none": {
        change: (all) => (all["client"] = { "tls.crt": client.certificate, "tls.key": "hunter2" }),
        reason: "SecretInvalid",
        says: /^spec\.tls\.clientCertificateSecretRef: the value under "tls\.key" in Secret "client" is no PEM private key/,
      },
      "of a private key of another certificate": {
        change: (all) => (all["client"] = { "tls.crt": client.certificate, "tls.key": other.key }),
        reason: "SecretInvalid",
        says: /is not the private key of the certificate under tls\.crt$/,
      },
      "of a token that no header can carry": {
        change: (all) => (all["consul"] = { token: "hunter2\nx-evil: 1" }),
        reason: "SecretInvalid",
        says: /^spec\.consul\.tokenSecretRef: the value under "token" in Secret "consul" is no token$/,
      },
    };
  for (const [what, { change, reason, says }] of Object.entries(problems)) {
    test(`can not be had because ${what}: field, Secret and key are named, no value`, async () => {
      const all = secrets();
      change(all);
      const found = await resolve(full, all);
      expect(found).toMatchObject({ ok: false, problem: { reason, message: expect.stringMatching(says) as string } });
      expect(JSON.stringify(found)).not.toContain("hunter2");
    });
  }

  test("can not be had when the API server forbids it, and the message says what to do", async () => {
    const read = () => Promise.reject(new KubeError("Forbidden", "x", { status: 403, reason: "Forbidden" }));
    const found = await resolveCredentials(full, read, new AbortController().signal);
    expect(found).toMatchObject({
      ok: false,
      problem: {
        reason: "SecretUnreadable",
        message:
          'spec.tls.caSecretRef: Secret "ca" could not be read (Forbidden): allow the operator\'s service account to get it',
      },
    });
  });

  test("are not looked for any more when the signal aborts", async () => {
    const abort = new AbortController();
    abort.abort(new Error("stop"));
    const read = () => Promise.reject(new KubeError("Closed", "x"));
    await expect(resolveCredentials(full, read, abort.signal)).rejects.toThrow("stop");
  });
});
