// What an open engine is made of: handed to the commands, constructed in engine.ts.
import type { RegistryClient } from "../registry/client.ts";
import type { Store } from "../store/store.ts";
import type { EngineOptions } from "./options.ts";

export interface ClientKind {
  readonly isInsecure?: boolean;
  /** Gives up soon: for questions whose answer is not worth waiting for. */
  readonly isHasty?: boolean;
}

export interface EngineParts {
  readonly options: EngineOptions;
  readonly store: Store;
  readonly isRootless: boolean;
  /** Made at the first request: a build that needs no registry loads no client. */
  client(options?: ClientKind): Promise<RegistryClient>;
}
