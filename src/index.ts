// The public API: what programs that embed tsbuild, and the command line, may use. Everything else may change without notice.
export { suggest } from "./base/suggest.ts";
export { BuildError, messageOf, type BuildErrorCode, type ErrorDetails } from "./diagnostics/build-error.ts";
export type { Diagnostic, Severity } from "./diagnostics/diagnostic.ts";
export { excerptOfLines, formatLocation, renderDiagnostic, renderPlace } from "./diagnostics/render.ts";
export { positionAt, spanText, type SourceFile, type Span } from "./diagnostics/source.ts";
export type { CheckReport, CheckWarning, LineRange, OutlineReport, TargetList, TargetSummary } from "./engine/check.ts";
export type { FixReport } from "./engine/check-fix.ts";
export type { GraphReport } from "./engine/graph-report.ts";
export { diagnoseMachine, diagnoseUser, type Finding } from "./engine/doctor.ts";
export type { BuildForecast, PlannedPull, PlannedStep } from "./engine/forecast.ts";
export { dockerProxies } from "./engine/docker-proxies.ts";
export { Engine } from "./engine/engine.ts";
export type {
  BuildOptions,
  BuildResult,
  EngineOptions,
  ImageOutputOptions,
  ImageSummary,
  OutputSpec,
  PullPolicy,
  RunOptions,
  SecretSource,
  SshSource,
} from "./engine/options.ts";
export type { WarmedStep, WarmOptions, WarmResult } from "./engine/warm.ts";
export { endDeadBuilds, rootlessCommand } from "./engine/rootless.ts";
export { storeRoot } from "./engine/store-root.ts";
export type { CacheLocation, CacheSource, CacheTarget } from "./cache/location.ts";
export type { CacheEntry, CacheUsage } from "./store/cache-entries.ts";
export { parseDuration } from "./store/entry-filters.ts";
export type { PruneOptions, PruneResult } from "./store/gc.ts";
export { formatDockerfile } from "./frontend/format.ts";
export { formatAst } from "./frontend/print.ts";
export { parseDockerfile } from "./frontend/parser.ts";
export type { Dockerfile, ParseResult } from "./frontend/ast.ts";
export type { Ulimit } from "./graph/op.ts";
export type { StepResources } from "./sandbox/sandbox.ts";
export type { Compression } from "./oci/media-type.ts";
export type { BuildRecord, StepOutcome, StepRecord } from "./engine/build-record.ts";
export type { BuildEvent, EventSink } from "./progress/events.ts";
export { formatDuration, missLine, missLines, type KeyChange, type MissCause } from "./progress/miss.ts";
