// Build arguments are no place for credentials: the image's history and its config show them to everybody who has the image (pain 27).
import { isSecretName, isSecretValue } from "../base/secret-name.ts";
import type { EventSink } from "../progress/events.ts";

/** They are in no history, whatever their values. */
const HIDDEN = /^(?:https?|ftp|no|all)_proxy$/i;

/** Says which build arguments look like credentials, never their values. */
export function noteSecretArguments(buildArgs: ReadonlyMap<string, string>, onEvent: EventSink): void {
  for (const [name, value] of buildArgs) {
    if (value === "" || HIDDEN.test(name) || !(isSecretName(name) || isSecretValue(value))) continue;
    const message = `--build-arg ${name} looks like a credential, and whoever has the image can read it in its history: give it as --secret id=${name},env=${name} and RUN --mount=type=secret,id=${name}`;
    onEvent({ kind: "notice", message });
  }
}
