// What a build fetches besides images: files behind HTTP URLs and git repositories, with the credentials that the build was given. Each thing once per build;
// what is kept between builds lies in the store's `sources`. Nothing is fetched before somebody asks.
import { openSync, closeSync, readSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "../base/canonical-json.ts";
import { redactUrls } from "../base/url-text.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { GitOp, HttpOp } from "../graph/op.ts";
import { ARCHIVE_PROBE_SIZE, isArchive } from "../source/context.ts";
import { checkoutGit, gitCommitTime, type CheckoutGitOptions, type GitCheckout } from "../source/git-checkout.ts";
import { gitAuthorization, gitSecrets, type GitAccess } from "../source/git-command.ts";
import { resolveGit, type ResolvedGit } from "../source/git.ts";
import { fetchHttp, httpAuthorization, httpSecrets, type FetchedFile } from "../source/http.ts";
import { openArchiveContext, type ArchiveContext } from "./archives.ts";
import { LearntRefs } from "./learnt-refs.ts";
import { offlineError } from "./offline.ts";

export interface RemoteSourcesOptions {
  /** The store's folder for downloads and repositories. */
  readonly cacheDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of a PEM file to trust in addition. */
  readonly caCert: string | undefined;
  /** Only what was fetched before is there. */
  readonly isOffline: boolean;
  /** An empty directory that goes with the build. */
  readonly makeScratchDir: () => string;
  /** The value of a secret; undefined where the build was given none of that id. */
  readonly secret: (id: string) => Promise<Uint8Array | undefined>;
  /** The agent of `--ssh <id>`; undefined where the build was given none. */
  readonly sshSocket: (id: string) => Promise<string | undefined>;
  readonly signal: AbortSignal;
}

/** Bytes so far and in all, 0 where the server does not say. */
export type DownloadProgress = (current: number, total: number) => void;

export class RemoteSources {
  readonly #options: RemoteSourcesOptions;
  readonly #started = new Map<string, Promise<unknown>>();

  constructor(options: RemoteSourcesOptions) {
    this.#options = options;
  }

  /** The file behind a URL. Fails as {@link fetchHttp} does. */
  fetch({ url, checksum }: Pick<HttpOp, "url" | "checksum">, onProgress?: DownloadProgress): Promise<FetchedFile> {
    return this.#once(["fetch", url, checksum ?? null], async () => {
      const { cacheDir, environment, signal } = this.#options;
      const [authorization, caCert] = [await this.#httpAuthorization(url), await this.#caCertText()];
      return fetchHttp({
        url,
        cacheDir: join(cacheDir, "http"),
        environment,
        signal,
        isOffline: this.#options.isOffline,
        ...(checksum === undefined ? {} : { checksum }),
        ...(authorization === undefined ? {} : { authorization }),
        ...(caCert === undefined ? {} : { caCert }),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
    });
  }

  /** What the archive behind a URL holds; undefined where the file is none. */
  archive(op: Pick<HttpOp, "url" | "checksum">): Promise<ArchiveContext | undefined> {
    return this.#once(["archive", op.url, op.checksum ?? null], async () => {
      const { makeScratchDir, signal } = this.#options;
      const { path } = await this.fetch(op);
      if (!isArchive(firstBytes(path))) return undefined;
      return openArchiveContext(path, { tempDir: makeScratchDir(), name: redactUrls(op.url), signal });
    });
  }

  /** The commit that a git source means now. Fails as {@link resolveGit} does. */
  resolve(op: GitOp): Promise<ResolvedGit> {
    const { remote, ref, checksum } = op;
    const key = ["resolve", remote, ref ?? null, checksum ?? null];
    return this.#once(key, async () => {
      const learnt = new LearntRefs(join(this.#options.cacheDir, "git", "refs"));
      if (this.#options.isOffline) {
        const known = learnt.get(key);
        if (known) return known;
        throw offlineError("source", `${redactUrls(remote)}${ref === undefined ? "" : `#${ref}`}`);
      }
      const resolved = await resolveGit({
        remote,
        access: await this.#gitAccess(remote),
        signal: this.#options.signal,
        ...(ref === undefined ? {} : { ref }),
        ...(checksum === undefined ? {} : { checksum }),
      });
      learnt.put(key, resolved);
      return resolved;
    });
  }

  /** The files of a git source. Fails as {@link checkoutGit} does. */
  checkout(op: GitOp): Promise<GitCheckout> {
    return this.#once(["checkout", op], async () => checkoutGit(await this.#checkoutOptions(op)));
  }

  /**
   * Seconds since the epoch of a source: of the commit, of the server's Last-Modified, else of the newest file in an archive;
   * undefined where it has none (A31).
   */
  async timeOf(op: GitOp | HttpOp): Promise<number | undefined> {
    if (op.kind === "git") return gitCommitTime(await this.#checkoutOptions(op));
    const { lastModifiedMs } = await this.fetch(op);
    if (lastModifiedMs !== undefined) return Math.floor(lastModifiedMs / 1000);
    return (await this.archive(op))?.newest;
  }

  async #checkoutOptions(op: GitOp): Promise<CheckoutGitOptions> {
    const { kind: _kind, ...source } = op;
    const { cacheDir, signal } = this.#options;
    const [resolved, access] = [await this.resolve(op), await this.#gitAccess(op.remote)];
    return { ...source, resolved, access, cacheDir: join(cacheDir, "git"), signal };
  }

  #gitAccess(remote: string): Promise<GitAccess> {
    return this.#once(["access", remote], async () => {
      const { environment, sshSocket } = this.#options;
      const isSsh = !/^(?:https?|git):\/\//i.test(remote);
      const sshAuthSock = isSsh ? await sshSocket("default") : undefined;
      const authorization = await this.#gitAuthorization(remote);
      const caFile = await this.#caFile();
      return {
        environment,
        ...(authorization === undefined ? {} : { authorization }),
        ...(sshAuthSock === undefined ? {} : { sshAuthSock }),
        ...(caFile === undefined ? {} : { caFile }),
      };
    });
  }

  async #httpAuthorization(url: string): Promise<string | undefined> {
    for (const secret of httpSecrets(url)) {
      const value = await this.#secretText(secret.id);
      if (value !== undefined) return httpAuthorization(secret, value);
    }
    return undefined;
  }

  async #gitAuthorization(remote: string): Promise<string | undefined> {
    for (const secret of gitSecrets(remote)) {
      const value = await this.#secretText(secret.id);
      if (value !== undefined) return gitAuthorization(secret, value);
    }
    return undefined;
  }

  /** Without the line feed that editors put at the end of a file. */
  async #secretText(id: string): Promise<string | undefined> {
    const bytes = await this.#options.secret(id);
    if (!bytes) return undefined;
    const text = Buffer.from(bytes)
      .toString()
      .replace(/\r?\n$/, "");
    // oxlint-disable-next-line no-control-regex -- what a header cannot carry
    if (!/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) return text;
    throw new BuildError("usage", `secret ${id} cannot be sent as a header: it has line breaks or control characters`);
  }

  #caCertText(): Promise<string | undefined> {
    const { caCert } = this.#options;
    if (caCert === undefined) return Promise.resolve(undefined);
    return this.#once(["ca"], async () => {
      try {
        return await readFile(caCert, "utf8");
      } catch (error) {
        throw new BuildError("usage", `cannot read the certificate ${caCert}: ${messageOf(error)}`, { cause: error });
      }
    });
  }

  /** git takes one file with everything that it is to trust. */
  async #caFile(): Promise<string | undefined> {
    const text = await this.#caCertText();
    if (text === undefined) return undefined;
    return this.#once(["ca-file"], async () => {
      const { getCACertificates } = await import("node:tls");
      const path = join(this.#options.makeScratchDir(), "ca.pem");
      writeFileSync(path, [...getCACertificates("default"), text].join("\n"));
      return path;
    });
  }

  /** What was started for `key` before, or `work`: two steps that read one source fetch it once. */
  #once<T>(key: readonly unknown[], work: () => Promise<T>): Promise<T> {
    const text = canonicalJson(key);
    const started = this.#started.get(text) as Promise<T> | undefined;
    if (started) return started;
    const made = work();
    this.#started.set(text, made);
    return made;
  }
}

function firstBytes(path: string): Uint8Array {
  const buffer = Buffer.alloc(ARCHIVE_PROBE_SIZE);
  const fd = openSync(path, "r");
  try {
    return buffer.subarray(0, readSync(fd, buffer));
  } finally {
    closeSync(fd);
  }
}
