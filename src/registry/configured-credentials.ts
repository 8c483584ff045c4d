// Credentials from the configuration files and their helpers, remembered for a while (reference RG09, RG10; pain 21).
import { messageOf } from "../diagnostics/build-error.ts";
import { askCredentialHelper, type RunProgram } from "./credential-helper.ts";
import type { CredentialSource, FoundCredentials } from "./credentials.ts";
import {
  dockerConfigPaths,
  HUB_KEY,
  hubName,
  loadDockerConfig,
  lookUpAuth,
  type DockerConfig,
} from "./docker-config.ts";
import type { Environment } from "./proxy.ts";

export interface ConfiguredCredentialsOptions {
  /** Paths are derived from it, and helpers run in it. */
  readonly environment: Environment;
  /** Instead of the paths that the environment implies. */
  readonly paths?: readonly string[];
  readonly now: () => number;
  readonly run?: RunProgram;
}

/** Helpers are slow (a second is common) and what they give lives at least ten minutes. */
const HELPER_RESULT_MS = 290_000;

interface HelperResult {
  readonly answer: Promise<FoundCredentials>;
  readonly untilMs: number;
  value?: FoundCredentials;
}

/** Reads files at the first request, runs helpers when a registry asks for credentials. */
export class ConfiguredCredentials implements CredentialSource {
  readonly #options: ConfiguredCredentialsOptions;
  readonly #helperResults = new Map<string, HelperResult>();
  #configs: Promise<readonly DockerConfig[]> | undefined;

  constructor(options: ConfiguredCredentialsOptions) {
    this.#options = options;
  }

  /** The files, read once; again after {@link forget}. Fails with `usage` where one is damaged. */
  configs(): Promise<readonly DockerConfig[]> {
    const { environment, paths } = this.#options;
    return (this.#configs ??= loadDockerConfig(paths ?? dockerConfigPaths(environment)));
  }

  async get(host: string, repository: string): Promise<FoundCredentials> {
    let configs: readonly DockerConfig[];
    try {
      configs = await this.configs();
    } catch (error) {
      this.#configs = undefined;
      return { problem: messageOf(error) };
    }
    const name = hubName(host.toLowerCase());
    let problem: string | undefined;
    for (const config of configs) {
      const helper = config.credHelpers.get(name) ?? config.credsStore;
      if (helper !== undefined) {
        const answer = await this.#askHelper(helper, name);
        if (answer.credentials !== undefined) return answer;
        if (answer.problem !== undefined) problem ??= `${answer.problem} (named in ${config.path})`;
      }
      const credentials = lookUpAuth(config, host, repository);
      if (credentials !== undefined) return { credentials };
    }
    return problem === undefined ? {} : { problem };
  }

  forget(found: FoundCredentials): void {
    this.#configs = undefined;
    for (const [key, result] of this.#helperResults) if (result.value === found) this.#helperResults.delete(key);
  }

  /** One run per helper and registry at a time, bound to no caller's signal: several may wait for it. */
  #askHelper(helper: string, host: string): Promise<FoundCredentials> {
    const key = `${helper} ${host}`;
    const now = this.#options.now();
    const known = this.#helperResults.get(key);
    if (known !== undefined && known.untilMs > now) return known.answer;
    const { environment: env, run } = this.#options;
    const serverUrl = host === "docker.io" ? HUB_KEY : host;
    const answer = askCredentialHelper({ helper, serverUrl, env, ...(run === undefined ? {} : { run }) });
    const result: HelperResult = { answer, untilMs: now + HELPER_RESULT_MS };
    this.#helperResults.set(key, result);
    return answer.then((value) => (result.value = value));
  }
}
