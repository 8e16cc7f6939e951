import type { Clock } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { NacosAnswer, NacosRequest } from "./client.ts";
import { isObject } from "./model.ts";
import type { NacosLogin } from "./options.ts";
import { loginError } from "./status.ts";

/** Where one logs in: 3.x, and before. 3.2 has the first one alone, and 1.x and 2.x the second. */
const PATHS = ["/v3/auth/user/login", "/v1/auth/login"];
/** Renewed when so much of its life is over. */
const RENEW_AT = 0.8;
/** After a refusal the server is left alone for so long, milliseconds: a wrong password must not lock the user out. */
const REFUSED_FOR_MS = 10_000;

/** The token of one user at one server: fetched when it is needed first, and again before it ends. */
export class Login {
  readonly #login: NacosLogin;
  readonly #endpoint: string;
  readonly #clock: Clock;
  readonly #send: (request: NacosRequest, timeoutMs: number) => Promise<NacosAnswer>;
  #held: { readonly token: string; readonly renewAt: number } | undefined;
  #refused: { readonly error: RegistryError; readonly until: number } | undefined;
  #pending: Promise<string> | undefined;

  /** @param send must neither log nor keep what it is given */
  constructor(
    login: NacosLogin,
    endpoint: string,
    clock: Clock,
    send: (request: NacosRequest, timeoutMs: number) => Promise<NacosAnswer>,
  ) {
    this.#login = login;
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#send = send;
  }

  /** @throws RegistryError `Unauthenticated` when the server refuses the user */
  async token(timeoutMs: number): Promise<string> {
    const now = this.#clock.monotonic();
    if (this.#held !== undefined && now < this.#held.renewAt) return this.#held.token;
    if (this.#refused !== undefined && now < this.#refused.until) throw this.#refused.error;
    this.#pending ??= this.#fetch(timeoutMs).finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  /** This token was not accepted; the next one asked for is a new one. */
  forget(token: string): void {
    if (this.#held?.token === token) this.#held = undefined;
  }

  async #fetch(timeoutMs: number): Promise<string> {
    let status = 404;
    for (const path of PATHS) {
      const { username, password } = this.#login;
      const answer = await this.#send({ method: "POST", path, form: { username, password } }, timeoutMs);
      status = answer.status;
      if (status === 200) return this.#keep(answer.text);
      // A server of another generation knows no such path.
      if (![404, 405, 410, 501].includes(status)) break;
    }
    const error = loginError(status, this.#endpoint);
    if (error.code === "Unauthenticated") this.#refused = { error, until: this.#clock.monotonic() + REFUSED_FOR_MS };
    throw error;
  }

  #keep(text: string): string {
    const { accessToken, tokenTtl } = tokenIn(text) ?? {};
    if (typeof accessToken !== "string" || accessToken === "")
      throw new RegistryError("NotUnderstood", `login at ${this.#endpoint}: the answer holds no token`);
    const ttlMs = Number(tokenTtl) > 0 ? Number(tokenTtl) * 1000 : 600_000;
    this.#held = { token: accessToken, renewAt: this.#clock.monotonic() + ttlMs * RENEW_AT };
    this.#refused = undefined;
    return accessToken;
  }
}

function tokenIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (!isObject(body)) return undefined;
    return isObject(body["data"]) ? body["data"] : body;
  } catch {
    return undefined;
  }
}
