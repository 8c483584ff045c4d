// Who we are at a registry: a value, where it was found, and what is known if nothing was. Not how it is presented (auth.ts).

/** A way to prove who we are. `source` is for messages and never contains a secret. */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string; readonly source: string }
  | { readonly kind: "identity-token"; readonly token: string; readonly source: string }
  | { readonly kind: "registry-token"; readonly token: string; readonly source: string };

export interface FoundCredentials {
  /** Undefined = anonymous. */
  readonly credentials?: Credentials;
  /** Why what is configured could not be used: shown when the registry then says no. */
  readonly problem?: string;
}

/** Where credentials come from. */
export interface CredentialSource {
  /** For a host (`docker.io`, `127.0.0.1:5000`) and a repository on it. Never fails: a broken source is a `problem`. */
  get(host: string, repository: string, signal?: AbortSignal): Promise<FoundCredentials>;
  /** The registry refused these: the next get asks again where they came from. */
  forget(found: FoundCredentials): void;
}

export const anonymous: CredentialSource = {
  get: () => Promise.resolve({}),
  forget: () => undefined,
};
