// The caches of other machines that one build was given: opened before anything else, so that they are read while the build is planned. Loaded only where there are any.
import type { CacheStorage } from "../cache/storage.ts";
import { CacheExports, type CacheExportsOptions, type OpenTarget } from "./cache-exports.ts";
import { CacheImports } from "./cache-imports.ts";
import { openCacheStorage } from "./cache-storages.ts";
import type { BuildOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";

/** Through all attempts of a build. Disposing stops what is being read. */
export class Caches implements Disposable {
  readonly imports: CacheImports;
  readonly #targets: readonly OpenTarget[];
  readonly #held: DisposableStack;

  constructor(imports: CacheImports, targets: readonly OpenTarget[], held: DisposableStack) {
    this.imports = imports;
    this.#targets = targets;
    this.#held = held;
  }

  /** The exports of one attempt. The caller disposes. */
  exports(options: Omit<CacheExportsOptions, "targets">): CacheExports {
    return new CacheExports({ ...options, targets: this.#targets });
  }

  [Symbol.dispose](): void {
    this.#held.dispose();
  }
}

/** Opens the caches of a build and begins to read those to import. The caller disposes. */
export async function openCaches(parts: EngineParts, options: BuildOptions): Promise<Caches> {
  using held = new DisposableStack();
  const scope = new AbortController();
  held.defer(() => scope.abort(new Error("the build has ended")));
  const storages: CacheStorage[] = [];
  for (const { location } of options.cacheFrom) storages.push(held.use(await openCacheStorage(parts, location)));
  const targets: OpenTarget[] = [];
  for (const target of options.cacheTo)
    targets.push({ target, storage: held.use(await openCacheStorage(parts, target.location, target)) });
  const signal = options.signal ? AbortSignal.any([options.signal, scope.signal]) : scope.signal;
  const imports = new CacheImports({ storages, onEvent: parts.options.onEvent, signal });
  return new Caches(imports, targets, held.move());
}
