// What is known about an image while its stage is walked: an immutable record, replaced by every instruction. The solver's half (layers) is a vertex id.
import { resolveIn } from "../base/container-path.ts";
import type { BaseImage, PlannedHistory } from "../graph/image-plan.ts";
import type { VariableScope } from "../frontend/expand.ts";
import type { Digest } from "../oci/digest.ts";
import { DEFAULT_PATH, type ContainerConfig, type HistoryEntry } from "../oci/image.ts";
import type { Platform } from "../oci/platform.ts";
import type { DeclaredArg } from "./history.ts";

export interface ImageState {
  /** Undefined = scratch. */
  readonly rootfs: Digest | undefined;
  readonly config: ContainerConfig;
  /** What RUN sees and words are expanded with: ENV and ARG, the last writer wins (A04). In the order in which they were last set, as a RUN of BuildKit sees them. */
  readonly env: ReadonlyMap<string, string>;
  /** In order of declaration, base stages first; a name may come twice. */
  readonly declaredArgs: readonly DeclaredArg[];
  readonly author: string | undefined;
  readonly base: BaseImage | undefined;
  readonly baseHistory: readonly HistoryEntry[];
  readonly history: readonly PlannedHistory[];
  /** That RUN runs on. */
  readonly platform: Platform;
  /** That the image calls its own. */
  readonly imagePlatform: Platform;
  /** A WORKDIR of this Dockerfile came before, in this stage or one below. */
  readonly hasWorkdir: boolean;
  /** CMD was given in this stage. */
  readonly hasCmd: boolean;
  /** Steps named so far. */
  readonly stepCount: number;
}

/** The state under a stage that begins with nothing (F04). */
export function scratchState(platform: Platform): ImageState {
  return {
    rootfs: undefined,
    config: { WorkingDir: "/", Env: [`PATH=${DEFAULT_PATH}`] },
    env: new Map(),
    declaredArgs: [],
    author: undefined,
    base: undefined,
    baseHistory: [],
    history: [],
    platform,
    imagePlatform: platform,
    hasWorkdir: false,
    hasCmd: false,
    stepCount: 0,
  };
}

/** `below` as the first instruction of a stage finds it: PATH is set, the config's ENV wins over ARGs below, triggers are gone (A05, F07). */
export function beginStage(below: ImageState): ImageState {
  const { OnBuild: _cleared, ...config } = below.config;
  const variables = config.Env ?? [];
  const hasPath = variables.some((variable) => nameOf(variable) === "PATH");
  const Env = hasPath || below.platform.os === "windows" ? variables : [...variables, `PATH=${DEFAULT_PATH}`];
  const env = new Map(below.env);
  for (const variable of Env) setLast(env, nameOf(variable), valueOf(variable));
  return { ...below, config: { ...config, Env }, env, hasCmd: false, stepCount: 0 };
}

/** Names and values that words of an instruction see. */
export function scopeOf(state: ImageState): VariableScope {
  return { get: (name) => state.env.get(name), names: () => state.env.keys() };
}

/** The working directory, absolute. */
export function workdirOf(state: ImageState): string {
  return resolveIn("/", state.config.WorkingDir ?? "");
}

/** The shell of shell forms (R01, O10). */
export function shellOf(state: ImageState): readonly string[] {
  const shell = state.config.Shell ?? [];
  return shell.length > 0 ? shell : ["/bin/sh", "-c"];
}

/** `state` with some of its config replaced. */
export function withConfig(state: ImageState, change: ContainerConfig): ImageState {
  return { ...state, config: { ...state.config, ...change } };
}

export function withHistory(state: ImageState, entry: PlannedHistory): ImageState {
  return { ...state, history: [...state.history, entry] };
}

/** `NAME=value` put in the place of the same name, else at the end (O03). */
export function withEnv(state: ImageState, pairs: readonly (readonly [string, string])[]): ImageState {
  const list = [...(state.config.Env ?? [])];
  const env = new Map(state.env);
  for (const [name, value] of pairs) {
    const at = list.findIndex((variable) => nameOf(variable) === name);
    list.splice(at < 0 ? list.length : at, at < 0 ? 0 : 1, `${name}=${value}`);
    setLast(env, name, value);
  }
  return { ...state, config: { ...state.config, Env: list }, env };
}

/** Sets a variable; one that is there already moves to the end. */
export function setLast(env: Map<string, string>, name: string, value: string): Map<string, string> {
  env.delete(name);
  return env.set(name, value);
}

function nameOf(variable: string): string {
  const cut = variable.indexOf("=");
  return cut < 0 ? variable : variable.slice(0, cut);
}

function valueOf(variable: string): string {
  const cut = variable.indexOf("=");
  return cut < 0 ? "" : variable.slice(cut + 1);
}

/** The config as it is written: members in the order of Go's structs, maps sorted, empty values left out. */
export function finishConfig(config: ContainerConfig, labels: ReadonlyMap<string, string>): ContainerConfig {
  const allLabels = { ...config.Labels, ...Object.fromEntries(labels) };
  const members: ContainerConfig = {
    User: config.User ?? "",
    ExposedPorts: sorted(config.ExposedPorts),
    Env: config.Env ?? [],
    Entrypoint: config.Entrypoint ?? [],
    Cmd: config.Cmd ?? [],
    Volumes: sorted(config.Volumes),
    WorkingDir: config.WorkingDir ?? "",
    Labels: sorted(allLabels),
    StopSignal: config.StopSignal ?? "",
    ArgsEscaped: config.ArgsEscaped ?? false,
    Healthcheck: config.Healthcheck ?? {},
    OnBuild: config.OnBuild ?? [],
    Shell: config.Shell ?? [],
  };
  const written = Object.entries(members).filter(([, value]: [string, unknown]) => !isEmpty(value));
  const kept: ContainerConfig = Object.fromEntries(written);
  return kept;
}

function sorted<T>(record: Readonly<Record<string, T>> | undefined): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isEmpty(value: unknown): boolean {
  if (value === "" || value === false) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
