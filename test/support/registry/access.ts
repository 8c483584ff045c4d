// Who may do what at the test registry: basic passwords, or bearer tokens from a token server at `/token` (GET and OAuth2 POST) of the same process.
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";

export type AccessOptions =
  | { readonly kind: "basic"; readonly isValid: (username: string, password: string) => boolean }
  | {
      readonly kind: "bearer";
      readonly isValid?: (username: string, password: string) => boolean;
      readonly isValidRefreshToken?: (token: string) => boolean;
      /** Anonymous callers get tokens for pulling. */
      readonly allowsAnonymousPull?: boolean;
      /** Seconds that a token lives; default 300. */
      readonly lifeS?: number;
      /** Leave `expires_in` out, as some servers do. */
      readonly hidesExpiry?: boolean;
      /** What POST answers; default 200, that is, OAuth2 is spoken. */
      readonly postStatus?: number;
      /** Whether a scope is granted to an account; default yes. */
      readonly grants?: (username: string, scope: string) => boolean;
      readonly now?: () => number;
    };

export interface Verdict {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

interface Token {
  readonly scopes: ReadonlySet<string>;
  readonly untilMs: number;
}

/** One registry's door. */
export class Access {
  readonly #options: AccessOptions;
  readonly #tokens = new Map<string, Token>();
  /** Tokens that were given out. */
  issuedCount = 0;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Forgets all tokens, as a restarted token server does. */
  revokeAll(): void {
    this.#tokens.clear();
  }

  /** Undefined = may pass. */
  check(authorization: string | undefined, scopes: readonly string[], origin: string): Verdict | undefined {
    const options = this.#options;
    if (options.kind === "basic") {
      const pair = basicPair(authorization);
      return pair && options.isValid(...pair) ? undefined : refusal('Basic realm="test"');
    }
    const value = /^Bearer (.+)$/.exec(authorization ?? "")?.[1];
    const token = value === undefined ? undefined : this.#tokens.get(value);
    const challenge = `Bearer realm="${origin}/token",service="test",scope="${scopes.join(" ")}"`;
    if (token === undefined || token.untilMs <= this.#now())
      return refusal(value === undefined ? challenge : `${challenge},error="invalid_token"`);
    const isGranted = scopes.every((scope) => actionsOf(scope).every((action) => token.scopes.has(action)));
    return isGranted ? undefined : refusal(`${challenge},error="insufficient_scope"`);
  }

  /** Answers the token server's requests. */
  issue(request: IncomingMessage, url: URL, form: URLSearchParams | undefined): Verdict {
    const options = this.#options;
    if (options.kind !== "bearer") return { status: 404, headers: {}, body: {} };
    const post = options.postStatus ?? 200;
    if (form !== undefined && post !== 200) return { status: post, headers: {}, body: { error: "unsupported" } };
    const account =
      form === undefined
        ? basicPair(request.headers.authorization)
        : [form.get("username") ?? "", form.get("password") ?? ""];
    const isRefresh = form?.get("grant_type") === "refresh_token";
    const isKnown = isRefresh
      ? (options.isValidRefreshToken?.(form.get("refresh_token") ?? "") ?? false)
      : account !== undefined && (options.isValid?.(account[0]!, account[1]!) ?? false);
    if (!isKnown && (account !== undefined || isRefresh))
      return { status: 401, headers: {}, body: errorBody("UNAUTHORIZED", "wrong credentials") };
    if (!isKnown && options.allowsAnonymousPull !== true)
      return { status: 401, headers: {}, body: errorBody("UNAUTHORIZED", "log in") };
    const asked = (form ?? url.searchParams)
      .getAll("scope")
      .flatMap((scope) => scope.split(" "))
      .flatMap(actionsOf);
    const granted = asked.filter((scope) =>
      isKnown ? (options.grants?.(account?.[0] ?? "", scope) ?? true) : scope.endsWith(":pull"),
    );
    const value = randomBytes(24).toString("base64url");
    const lifeS = options.lifeS ?? 300;
    this.#tokens.set(value, { scopes: new Set(granted), untilMs: this.#now() + lifeS * 1000 });
    this.issuedCount += 1;
    return {
      status: 200,
      headers: {},
      body: {
        [form === undefined ? "token" : "access_token"]: value,
        ...(options.hidesExpiry === true ? {} : { expires_in: lifeS }),
      },
    };
  }

  #now(): number {
    return (this.#options.kind === "bearer" ? this.#options.now?.() : undefined) ?? Date.now();
  }
}

/** `repository:x:pull,push` → one text per action. */
function actionsOf(scope: string): readonly string[] {
  const colon = scope.lastIndexOf(":");
  return scope
    .slice(colon + 1)
    .split(",")
    .map((action) => `${scope.slice(0, colon)}:${action}`);
}

function basicPair(authorization: string | undefined): [string, string] | undefined {
  const encoded = /^Basic (.+)$/.exec(authorization ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return [text.slice(0, colon), text.slice(colon + 1)];
}

function refusal(challenge: string): Verdict {
  return {
    status: 401,
    headers: { "www-authenticate": challenge },
    body: errorBody("UNAUTHORIZED", "authentication required"),
  };
}

export function errorBody(code: string, message: string): unknown {
  return { errors: [{ code, message, detail: null }] };
}
