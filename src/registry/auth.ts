// How we prove to a registry who we are (distribution-spec token authentication, OAuth2; reference RG04–RG08; pain 21): challenges in, Authorization values out.
// Tokens are kept per registry and set of scopes for 90 % of their life. Does not send the registry's own requests.
import { BuildError } from "../diagnostics/build-error.ts";
import { msOfIso } from "../base/clock.ts";
import { mergeScopes, parseChallenges, type Challenge } from "./challenge.ts";
import type { Credentials, CredentialSource, FoundCredentials } from "./credentials.ts";
import { accessFailure, readStart, responseFailure, serverMessage, type RequestPurpose } from "./errors.ts";
import { bareHost, isLoopbackHost } from "./proxy.ts";
import { FailedAttempt, type RetryClock } from "./retry.ts";
import type { HttpRequest, HttpResponse } from "./http-message.ts";

/** Where and for what an authorization is needed. */
export interface AuthSubject {
  /** The host that is spoken to. */
  readonly host: string;
  /** The name that credentials are kept under. */
  readonly credentialHost: string;
  readonly repository: string;
  readonly scopes: readonly string[];
  /** Credentials may travel unencrypted: the registry itself is reached that way. */
  readonly allowsPlain: boolean;
  readonly isInsecure: boolean;
  readonly purpose: RequestPurpose;
}

/** The value of an Authorization header and what is behind it. `header` is a secret. */
export interface Authorization {
  readonly header: string;
  readonly found: FoundCredentials;
  readonly key: string;
}

export interface AuthenticatorOptions {
  /** Sends to token servers. */
  readonly send: (request: HttpRequest) => Promise<HttpResponse>;
  readonly credentials: CredentialSource;
  readonly clock: RetryClock;
}

interface Ticket {
  readonly authorization: Promise<Authorization | undefined>;
  /** What the promise resolved to. */
  value?: Authorization | undefined;
  untilMs: number;
}

interface Issued {
  readonly authorization: Authorization | undefined;
  readonly untilMs: number;
}

const DEFAULT_LIFE_S = 60;
const USABLE_SHARE = 0.9;
const CLIENT_ID = "tsbuild";

/** The tickets of one client. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #challenges = new Map<string, Challenge>();
  readonly #tickets = new Map<string, Ticket>();
  /** Realms that want GET: what POST was answered with is known. */
  readonly #getOnly = new Set<string>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** What to send before being asked: nothing where this host has never asked. */
  current(subject: AuthSubject): Promise<Authorization | undefined> {
    const challenge = this.#challenges.get(subject.host);
    return challenge === undefined ? Promise.resolve(undefined) : this.#ticket(challenge, subject);
  }

  /** What to send after a 401, or undefined where there is no (other) answer to it. `refused` is what was sent. */
  answer(
    header: string | undefined,
    subject: AuthSubject,
    refused: Authorization | undefined,
  ): Promise<Authorization | undefined> {
    const offered = parseChallenges(header);
    const challenge =
      offered.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm")) ??
      offered.find(({ scheme }) => scheme === "basic");
    if (challenge === undefined) return Promise.resolve(undefined);
    // The token is good but the account may not do this: another token for the same scopes would be no better.
    if (
      refused !== undefined &&
      challenge.parameters.get("error") === "insufficient_scope" &&
      asksNothingNew(challenge, subject.scopes)
    )
      return Promise.resolve(undefined);
    this.#challenges.set(subject.host, challenge);
    return this.#ticket(challenge, subject);
  }

  /** The registry refused it: neither the token nor the helper's result behind it is used again. */
  drop(refused: Authorization): void {
    // Many requests may have been refused with the same token: only the first of them finds it here.
    if (this.#tickets.get(refused.key)?.value !== refused) return;
    this.#tickets.delete(refused.key);
    this.#options.credentials.forget(refused.found);
  }

  #ticket(challenge: Challenge, subject: AuthSubject): Promise<Authorization | undefined> {
    const key = [subject.host, challenge.scheme, ...mergeScopes(subject.scopes)].join(" ");
    const known = this.#tickets.get(key);
    if (known !== undefined && known.untilMs > this.#options.clock.now()) return known.authorization;
    const issued = this.#issue(challenge, subject, key);
    const ticket: Ticket = { authorization: issued.then(({ authorization }) => authorization), untilMs: Infinity };
    this.#tickets.set(key, ticket);
    void this.#fill(ticket, issued, key);
    return ticket.authorization;
  }

  async #fill(ticket: Ticket, issued: Promise<Issued>, key: string): Promise<void> {
    try {
      const { authorization, untilMs } = await issued;
      ticket.value = authorization;
      ticket.untilMs = untilMs;
    } catch {
      // Whoever waits for it hears of it; the next one may try again.
      if (this.#tickets.get(key) === ticket) this.#tickets.delete(key);
    }
  }

  async #issue(challenge: Challenge, subject: AuthSubject, key: string): Promise<Issued> {
    const { credentials: source } = this.#options;
    const found = await source.get(subject.credentialHost, subject.repository);
    const { credentials } = found;
    if (challenge.scheme === "basic") {
      if (credentials?.kind !== "password") return { authorization: undefined, untilMs: 0 };
      return { authorization: { header: basic(credentials), found, key }, untilMs: Infinity };
    }
    if (credentials?.kind === "registry-token")
      return { authorization: { header: `Bearer ${credentials.token}`, found, key }, untilMs: Infinity };
    const first = await this.#fetchToken(challenge, subject, found);
    if (first.token !== undefined) return issuedToken(first, found, key);
    // A helper may have given something that has ended meanwhile: ask it once more.
    source.forget(found);
    const again = await source.get(subject.credentialHost, subject.repository);
    const isSame = again.credentials === undefined || JSON.stringify(again.credentials) === JSON.stringify(credentials);
    const second = isSame ? first : await this.#fetchToken(challenge, subject, again);
    if (second.token !== undefined) return issuedToken(second, again, key);
    throw new FailedAttempt(accessFailure(second.status, second.said, subject.purpose, again));
  }

  /** Asks the realm; a refusal is a value, other failures are thrown. */
  async #fetchToken(challenge: Challenge, subject: AuthSubject, found: FoundCredentials): Promise<TokenAnswer> {
    const { credentials } = found;
    const realm = realmOf(challenge, subject, credentials);
    const form = tokenForm(challenge, subject.scopes);
    const startedMs = this.#options.clock.now();
    let response: HttpResponse | undefined;
    if (credentials !== undefined && !this.#getOnly.has(realm.href)) {
      response = await this.#options.send(postRequest(realm, form, credentials, subject));
      // These are what servers without the OAuth endpoint have been seen to answer.
      if (credentials.kind === "password" && [401, 404, 405].includes(response.status)) {
        await response.discard();
        response = undefined;
      }
    }
    if (response === undefined) {
      response = await this.#options.send(getRequest(realm, form, credentials, subject));
      if (response.status === 200) this.#getOnly.add(realm.href);
    }
    if (response.status === 200) return { ...(await readToken(response, startedMs, subject)), status: 200, said: "" };
    if (response.status === 400 || response.status === 401 || response.status === 403)
      return { status: response.status, said: serverMessage(await readStart(response)) };
    throw new FailedAttempt(await responseFailure(response, subject.purpose, found, this.#options.clock));
  }
}

interface TokenAnswer {
  readonly token?: string;
  readonly untilMs?: number;
  readonly status: number;
  readonly said: string;
}

function issuedToken({ token, untilMs = 0 }: TokenAnswer, found: FoundCredentials, key: string): Issued {
  return { authorization: { header: `Bearer ${token}`, found, key }, untilMs };
}

function asksNothingNew(challenge: Challenge, scopes: readonly string[]): boolean {
  const asked = (challenge.parameters.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
  return mergeScopes([...scopes, ...asked]).join(" ") === mergeScopes(scopes).join(" ");
}

function realmOf(
  challenge: Challenge,
  { allowsPlain, purpose }: AuthSubject,
  credentials: Credentials | undefined,
): URL {
  const realm = URL.parse(challenge.parameters.get("realm") ?? "");
  if (realm === null || !/^https?:$/.test(realm.protocol))
    throw new BuildError("registry", `registry ${purpose.registry} names no usable token server`, {
      details: { status: 401, isTransient: false },
    });
  const isPlain = realm.protocol === "http:" && !isLoopbackHost(bareHost(realm.hostname));
  if (credentials !== undefined && isPlain && !allowsPlain)
    throw new BuildError(
      "registry",
      `registry ${purpose.registry} wants credentials sent unencrypted to ${realm.host}`,
      {
        help: "make its token server use https, or allow the registry as insecure",
        details: { status: 401, isTransient: false },
      },
    );
  return realm;
}

function tokenForm(challenge: Challenge, scopes: readonly string[]): URLSearchParams {
  const form = new URLSearchParams();
  const service = challenge.parameters.get("service");
  if (service !== undefined) form.set("service", service);
  const asked = (challenge.parameters.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
  for (const scope of mergeScopes([...scopes, ...asked])) form.append("scope", scope);
  return form;
}

function getRequest(
  realm: URL,
  form: URLSearchParams,
  credentials: Credentials | undefined,
  subject: AuthSubject,
): HttpRequest {
  const url = new URL(realm);
  for (const [name, value] of form) url.searchParams.append(name, value);
  const isPassword = credentials?.kind === "password";
  if (isPassword) url.searchParams.set("account", credentials.username);
  return {
    method: "GET",
    url,
    lane: "json",
    isInsecure: subject.isInsecure,
    ...(isPassword ? { privateHeaders: { authorization: basic(credentials) } } : {}),
  };
}

function postRequest(realm: URL, form: URLSearchParams, credentials: Credentials, subject: AuthSubject): HttpRequest {
  const fields = new URLSearchParams([...form].filter(([name]) => name !== "scope"));
  fields.set("scope", form.getAll("scope").join(" "));
  fields.set("client_id", CLIENT_ID);
  fields.set("access_type", "offline");
  if (credentials.kind === "password") {
    fields.set("grant_type", "password");
    fields.set("username", credentials.username);
    fields.set("password", credentials.password);
  } else {
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", credentials.token);
  }
  const bytes = Buffer.from(fields.toString());
  return {
    method: "POST",
    url: realm,
    lane: "json",
    isInsecure: subject.isInsecure,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: { size: bytes.length, open: () => once(bytes) },
  };
}

async function readToken(
  response: HttpResponse,
  startedMs: number,
  { purpose }: AuthSubject,
): Promise<{ token: string; untilMs: number }> {
  const text = await readStart(response, 1024 * 1024);
  let value: { token?: unknown; access_token?: unknown; expires_in?: unknown; issued_at?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    value = null;
  }
  const token = [value?.token, value?.access_token].find((part) => typeof part === "string" && part !== "");
  if (typeof token !== "string" || /[\r\n]/.test(token))
    throw new BuildError("registry", `the token server of registry ${purpose.registry} answered without a token`, {
      details: { status: response.status, isTransient: false },
    });
  const expires = Number(value?.expires_in);
  const lifeMs = (expires > 0 ? expires : DEFAULT_LIFE_S) * 1000;
  const issuedMs = typeof value?.issued_at === "string" ? msOfIso(value.issued_at) : undefined;
  const serverMs = response.headers["date"] === undefined ? undefined : msOfIso(response.headers["date"]);
  // A token out of the server's cache is older than its arrival. Only the server's own clock can tell how much.
  const age = issuedMs === undefined || serverMs === undefined ? 0 : serverMs - issuedMs;
  const leftMs = age > 0 && age < lifeMs ? lifeMs - age : lifeMs;
  return { token, untilMs: startedMs + leftMs * USABLE_SHARE };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function basic({ username, password }: Extract<Credentials, { kind: "password" }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
