// RUN: shell, exec and heredoc forms, mounts, network and security (reference R01–R09, H05–H07, A20).
import { spanText, type Span } from "../../diagnostics/source.ts";
import type { Heredoc, RunInstruction } from "../../frontend/ast.ts";
import type { VariableScope } from "../../frontend/expand.ts";
import type { DeviceRequest, ExecOp, MountOp } from "../../graph/op.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseDevice } from "../devices.ts";
import { goQuote } from "../../base/go-text.ts";
import { relativePath } from "../../base/container-path.ts";
import { checkHeredocName } from "../heredoc-name.ts";
import { historyEntry, runHistory } from "../history.ts";
import { scopeOf, shellOf, withHistory, workdirOf, type ImageState } from "../image-state.ts";
import { planMount, withType } from "../mounts.ts";
import { noteMounts } from "../needs.ts";
import { heredocSummary } from "../names.ts";
import { addMainContext } from "../sources.ts";
import { expandIn, nextStep, spanOr, type LowerContext } from "./context.ts";

export function lowerRun(instruction: RunInstruction, state: ImageState, context: LowerContext): ImageState {
  const command = commandOf(instruction, state);
  const isNamed = command.pipes.length === 0 || checkHeredocName(instruction.heredocs[0]!, context.reporter);
  const inputs: (Digest | undefined)[] = [state.rootfs];
  const mounts = planMounts(instruction, state, context, inputs);
  const network = networkOf(instruction, context);
  const security = securityOf(instruction, context);
  const devices = devicesOf(instruction, context);
  if (!isNamed || !mounts || !network || !security || !devices) return state;
  const step = nextStep(instruction, state, context, {
    suffix: command.summary,
    scope: maskSecrets(scopeOf(state), mounts),
  });
  const op = execOp(command, { mounts, network, security, devices }, state, context);
  const known = new Set(state.env.keys());
  const hiddenEnv = context.proxies.filter((proxy) => !known.has(proxy.slice(0, proxy.indexOf("="))));
  const meta = hiddenEnv.length === 0 ? step.meta : { ...step.meta, hiddenEnv };
  const rootfs = context.builder.add(op, inputs, meta);
  const createdBy = runHistory(command.args, state.declaredArgs, state.env);
  return withHistory({ ...step.state, rootfs }, historyEntry(createdBy, rootfs));
}

interface RunCommand {
  readonly args: readonly string[];
  readonly pipes: readonly { readonly name: string; readonly content: string }[];
  /** What the name adds to the instruction's text. */
  readonly summary: string;
}

function commandOf(instruction: RunInstruction, state: ImageState): RunCommand {
  const { command, heredocs } = instruction;
  if (command.kind === "exec") return { args: command.args, pipes: [], summary: "" };
  const shell = shellOf(state);
  const [only] = heredocs;
  if (!only) return { args: [...shell, command.text], pipes: [], summary: "" };
  if (command.text.trim() !== "" || heredocs.length > 1) {
    // The shell reads these heredocs itself, so it gets them as they stand in the file.
    const bodies = heredocs.map((heredoc) => `\n${rawBody(heredoc)}${heredoc.name}`);
    return { args: [...shell, command.text + bodies.join("")], pipes: [], summary: "" };
  }
  const summary = heredocSummary(only.content);
  if (!only.content.startsWith("#!")) return { args: [...shell, only.content], pipes: [], summary };
  const pipe = { name: relativePath(only.name), content: only.content };
  return { args: [...shell, `/dev/pipes/${only.name}`], pipes: [pipe], summary };
}

function rawBody(heredoc: Heredoc): string {
  return heredoc.isChomped ? spanText(heredoc.bodySpan) : heredoc.content;
}

interface RunSetting {
  readonly mounts: readonly MountOp[];
  readonly network: ExecOp["network"];
  readonly security: ExecOp["security"];
  readonly devices: readonly DeviceRequest[];
}

function execOp(command: RunCommand, setting: RunSetting, state: ImageState, context: LowerContext): ExecOp {
  const { options } = context;
  const { devices, ...rest } = setting;
  const hostname = context.buildArgs.get("BUILDKIT_SANDBOX_HOSTNAME") ?? "";
  return {
    kind: "exec",
    args: command.args,
    env: runEnv(state, setting.mounts),
    cwd: workdirOf(state),
    user: state.config.User ?? "",
    ...(hostname === "" ? {} : { hostname }),
    ...rest,
    ...(devices.length === 0 ? {} : { devices }),
    ...(command.pipes.length === 0 ? {} : { pipes: command.pipes }),
    ...(options.shmSize === undefined ? {} : { shmSize: options.shmSize }),
    ...(options.ulimits.length === 0 ? {} : { ulimits: options.ulimits }),
    ...(options.cgroupParent === undefined ? {} : { cgroupParent: options.cgroupParent }),
    ...(options.extraHosts.length === 0 ? {} : { extraHosts: options.extraHosts }),
    platform: state.platform,
  };
}

/** The stage's variables, and where the ssh agent listens (M51). */
function runEnv(state: ImageState, mounts: readonly MountOp[]): readonly string[] {
  const env = [...state.env].map(([name, value]) => `${name}=${value}`);
  const agent = mounts.find((mount) => mount.kind === "ssh");
  if (!agent || state.env.has("SSH_AUTH_SOCK")) return env;
  return [...env, `SSH_AUTH_SOCK=${agent.writtenTarget ?? agent.target}`];
}

/** Secrets that become variables show as `****` in the step's name. */
function maskSecrets(scope: VariableScope, mounts: readonly MountOp[]): VariableScope {
  const secrets = new Set(mounts.flatMap((mount) => (mount.kind === "secret" ? (mount.env ?? []) : [])));
  if (secrets.size === 0) return scope;
  return { get: (name) => (secrets.has(name) ? "****" : scope.get(name)), names: () => scope.names() };
}

/** The mounts in order; of binds, caches and tmpfs with one target the last one counts, secrets and ssh lie above them. Undefined where one is in error. */
function planMounts(
  instruction: RunInstruction,
  state: ImageState,
  context: LowerContext,
  inputs: (Digest | undefined)[],
): readonly MountOp[] | undefined {
  const { reporter } = context;
  const { mountProblems = [] } = instruction;
  reporter.add(mountProblems);
  let sshIndex = 0;
  let isSound = mountProblems.length === 0;
  const placed = new Map<string, MountOp>();
  const expand = (text: string, span: Span) => expandIn({ text, span }, state, context);
  instruction.mounts.forEach((written, index) => {
    const flag = withType(written, expand, (problems) => reporter.add(problems));
    if (!flag) {
      isSound = false;
      return;
    }
    const mount = planMount(flag, {
      expand,
      fail: (span: Span, message: string, help?: string) => reporter.error("InvalidMount", span, message, { help }),
      workdir: workdirOf(state),
      cacheNamespace: context.buildArgs.get("BUILDKIT_CACHE_MOUNT_NS") ?? "",
      input: mountInput(flag.type, index, context, inputs),
      sshIndex,
    });
    if (flag.type === "ssh") sshIndex++;
    if (!mount) {
      isSound = false;
      return;
    }
    const place = placeOf(mount, index);
    placed.delete(place);
    placed.set(place, mount);
  });
  noteMounts(context.needs, placed.values(), instruction.span);
  return isSound ? [...placed.values()] : undefined;
}

/** What two mounts of a RUN have in common of which only the last one counts; secrets and ssh agents displace none, for they may be missing. */
function placeOf(mount: MountOp, index: number): string {
  if (mount.kind === "secret" && mount.target === undefined) return `env ${mount.env ?? ""}`;
  return mount.kind === "secret" || mount.kind === "ssh" ? `mount ${index}` : mount.target;
}

/** A bind without `from` sees the build context, a cache without `from` starts empty. */
function mountInput(
  type: string,
  index: number,
  context: LowerContext,
  inputs: (Digest | undefined)[],
): number | undefined {
  if (type !== "bind" && type !== "cache") return undefined;
  const source = context.sources[index];
  if (!source && type === "cache") return undefined;
  const vertex = source ? source.vertex : addMainContext(context.builder, context.options.context);
  const known = inputs.indexOf(vertex, 1);
  return known < 0 ? inputs.push(vertex) - 1 : known;
}

function networkOf(instruction: RunInstruction, context: LowerContext): ExecOp["network"] | undefined {
  const mode = instruction.network?.text;
  if (mode === undefined || mode === "default") return context.options.network;
  if (mode === "none" || mode === "host") return mode;
  const span = spanOr(instruction.network, instruction);
  context.reporter.error("InvalidNetworkMode", span, `invalid network mode ${goQuote(mode)}`, {
    help: "write default, none or host",
  });
  return undefined;
}

function securityOf(instruction: RunInstruction, context: LowerContext): ExecOp["security"] | undefined {
  const mode = instruction.security?.text;
  if (mode === undefined || mode === "sandbox") return "sandbox";
  if (mode === "insecure") return mode;
  const span = spanOr(instruction.security, instruction);
  context.reporter.error("InvalidSecurityMode", span, `security ${goQuote(mode)} is not valid`, {
    help: "write sandbox or insecure",
  });
  return undefined;
}

/** Undefined where one is in error. */
function devicesOf(instruction: RunInstruction, context: LowerContext): readonly DeviceRequest[] | undefined {
  const devices: DeviceRequest[] = [];
  let isSound = true;
  for (const { text, span } of instruction.devices) {
    const device = parseDevice(text);
    if ("name" in device) devices.push(device);
    else {
      context.reporter.error("InvalidDevice", span, device.problem, { help: device.help });
      isSound = false;
    }
  }
  return isSound ? devices : undefined;
}
