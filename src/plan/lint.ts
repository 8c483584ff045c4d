// The build checks that need values (reference 2.1): those that the text alone decides are the frontend's. Names, descriptions and messages are BuildKit's.
import { isSecretName } from "../base/secret-name.ts";
import { suggest } from "../base/suggest.ts";
import type { Span } from "../diagnostics/source.ts";
import type { ExpandResult, VariableScope } from "../frontend/expand.ts";
import { parsePlatform, type Platform } from "../oci/platform.ts";
import { goQuote } from "../base/go-text.ts";
import type { Reporter } from "./reporter.ts";

/** K11. `declared` are ARGs without a value: they may be used. */
export function checkUndefinedVariables(
  reporter: Reporter,
  span: Span,
  expansion: ExpandResult,
  scope: VariableScope,
  declared: ReadonlySet<string>,
): void {
  for (const name of expansion.unmatched) {
    if (declared.has(name) || name.startsWith("BUILDKIT_SBOM_SCAN_")) continue;
    const nearest = suggest(name, scope.names());
    const hint = nearest === undefined ? "" : ` (did you mean $${nearest}?)`;
    reporter.warn("UndefinedVar", span, `Usage of undefined variable '$${name}'${hint}`);
  }
}

/** K09. */
export function checkFromArguments(
  reporter: Reporter,
  span: Span,
  expansion: ExpandResult,
  declared: ReadonlySet<string>,
): void {
  for (const name of expansion.unmatched) {
    if (declared.has(name)) continue;
    const nearest = suggest(name, declared);
    const hint = nearest === undefined ? "" : ` (did you mean ${nearest}?)`;
    reporter.warn("UndefinedArgInFrom", span, `FROM argument '${name}' is not declared${hint}`);
  }
}

/** K15 and K18, for a `--platform` that expanded to `value`. */
export function checkPlatformFlag(
  reporter: Reporter,
  span: Span,
  flag: { readonly text: string; readonly expansion: ExpandResult; readonly value: string },
  stageName: string,
  targetPlatform: string | undefined,
): void {
  const { matched, unmatched } = flag.expansion;
  if (matched.length === 1 && unmatched.length === 0 && matched[0] === "TARGETPLATFORM") {
    if (flag.value !== targetPlatform) return;
    const message = `Setting platform to predefined ${flag.text} in FROM is redundant as this is the default behavior`;
    return reporter.warn("RedundantTargetPlatform", span, message);
  }
  if (matched.length > 0 || unmatched.length > 0) return;
  const platform = parsePlatform(flag.value);
  if (!platform || stageName.includes(platform.os) || stageName.includes(platform.architecture)) return;
  const message = `FROM --platform flag should not use constant value ${goQuote(flag.value)}`;
  reporter.warn("FromPlatformFlagConstDisallowed", span, message);
}

/** K14. */
export function checkBasePlatform(
  reporter: Reporter,
  span: Span,
  image: string,
  expected: Platform,
  actual: Platform,
): void {
  if (expected.os === actual.os && expected.architecture === actual.architecture) return;
  const shown = (platform: Platform) =>
    goQuote([platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join("/"));
  const message = `Base image ${image} was pulled with platform ${shown(actual)}, expected ${shown(expected)} for current build`;
  reporter.warn("InvalidBaseImagePlatform", span, message);
}

/** K16. */
export function checkSecretName(reporter: Reporter, span: Span, instruction: "ARG" | "ENV", name: string): void {
  if (!isSecretName(name)) return;
  const message = `Do not use ARG or ENV instructions for sensitive data (${instruction} ${goQuote(name)})`;
  reporter.warn("SecretsUsedInArgOrEnv", span, message);
}
