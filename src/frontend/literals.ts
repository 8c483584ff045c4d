// Small literal syntaxes inside instructions, as Go and Docker read them: durations, signals, ports. Reference O05, O09, O11.
// Pure: text in, value or message out. The planner uses them after expansion, the parser where nothing needs expansion.
import { goQuote } from "../base/go-text.ts";

export type Parsed<T> = { readonly value: T } | { readonly message: string };

const unitNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's time.ParseDuration, in nanoseconds. */
export function parseDuration(text: string): Parsed<number> {
  const quoted = goQuote(text);
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = /^[-+]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return { value: 0 };
  if (rest === "") return { message: `time: invalid duration ${quoted}` };
  let total = 0;
  while (rest !== "") {
    const number = /^(?:\d+\.?\d*|\.\d+)/.exec(rest)?.[0];
    if (number === undefined) return { message: `time: invalid duration ${quoted}` };
    const unit = /^[^.\d]*/.exec(rest.slice(number.length))![0];
    if (unit === "") return { message: `time: missing unit in duration ${quoted}` };
    const factor = Object.hasOwn(unitNs, unit) ? unitNs[unit] : undefined;
    if (factor === undefined) return { message: `time: unknown unit ${goQuote(unit)} in duration ${quoted}` };
    total += Number(number) * factor;
    rest = rest.slice(number.length + unit.length);
  }
  if (total > 2 ** 63) return { message: `time: invalid duration ${quoted}` };
  return { value: sign * Math.trunc(total) };
}

const signalNames: ReadonlySet<string> = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);

/** Whether Docker accepts the text as a signal: a number but 0, or a name with or without SIG, in any case. */
export function isSignal(text: string): boolean {
  if (/^[-+]?\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RT(?:MIN\+(\d+)|MAX-(\d+))$/.exec(name);
  if (realtime === null) return signalNames.has(name);
  const [, up, down] = realtime;
  const step = Number(up ?? down);
  return String(step) === (up ?? down) && step >= 1 && step <= (up === undefined ? 14 : 15);
}

/** One word of EXPOSE. */
export interface PortSpec {
  readonly start: number;
  readonly end: number;
  /** Lower case. */
  readonly protocol: "tcp" | "udp" | "sctp";
  /** The protocol as written; "" where there is none. */
  readonly rawProtocol: string;
  /** An address or a host port is there, which EXPOSE ignores. */
  readonly hasHostPart: boolean;
}

/** `[[ip:]host:]port[-port][/protocol]`. */
export function parsePortSpec(raw: string): Parsed<PortSpec> {
  const parts = raw.split(":");
  const last = parts.pop() ?? "";
  const hostPort = parts.pop() ?? "";
  const address = parts.join(":");
  const slash = last.indexOf("/");
  const port = slash < 0 ? last : last.slice(0, slash);
  const rawProtocol = slash < 0 ? "" : last.slice(slash + 1);
  if (port === "") return { message: `invalid port: ${goQuote(raw)}: no port specified` };
  const protocol = rawProtocol.toLowerCase() || "tcp";
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
    return { message: `invalid port: ${goQuote(raw)}: invalid proto: ${protocol}` };
  }
  if (address !== "" && !isAddress(address)) return { message: `invalid IP address: ${address}` };
  const range = portRange(port);
  if (range === undefined) return { message: `invalid containerPort: ${port}` };
  if (hostPort !== "") {
    const host = portRange(hostPort);
    if (host === undefined) return { message: `invalid hostPort: ${hostPort}` };
    const length = range.end - range.start;
    if (length !== 0 && length !== host.end - host.start) {
      return { message: `invalid ranges specified for container and host Ports: ${port} and ${hostPort}` };
    }
  }
  return { value: { ...range, protocol, rawProtocol, hasHostPart: address !== "" || raw.includes(":") } };
}

function portRange(text: string): { readonly start: number; readonly end: number } | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2] ?? match[1]);
  return start <= end && end <= 65535 ? { start, end } : undefined;
}

function isAddress(text: string): boolean {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (bare.includes(":")) return URL.canParse(`http://[${bare}]/`);
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|$)){4}$/.test(bare) && !bare.endsWith(".");
}
