// Small literal syntaxes inside instructions, as Go and Docker read them: durations, signals, ports. Reference O05, O09, O11.
// Pure: text in, value or message out. The planner uses them after expansion, the parser where nothing needs expansion.
import { goQuote } from "../base/go-text.ts";

export type Parsed<T> = { readonly value: T } | { readonly message: string };

const unitNs: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** The least int64 is the negative of it; the greatest is one less. */
const INT64 = 1n << 63n;

/** Go's time.ParseDuration, in nanoseconds: an int64. */
export function parseDuration(text: string): Parsed<bigint> {
  const quoted = goQuote(text);
  const invalid = { message: `time: invalid duration ${quoted}` };
  const isNegative = text.startsWith("-");
  let rest = /^[-+]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return { value: 0n };
  if (rest === "") return invalid;
  let total = 0n;
  while (rest !== "") {
    const [number, whole = "", fraction = ""] = /^(?=\.?\d)(\d*)(?:\.(\d*))?/.exec(rest) ?? [];
    if (number === undefined) return invalid;
    const unit = /^[^.\d]*/.exec(rest.slice(number.length))![0];
    if (unit === "") return { message: `time: missing unit in duration ${quoted}` };
    const size = Object.hasOwn(unitNs, unit) ? unitNs[unit] : undefined;
    if (size === undefined) return { message: `time: unknown unit ${goQuote(unit)} in duration ${quoted}` };
    total += BigInt(whole) * size + fractionOf(fraction, size);
    if (total > INT64) return invalid;
    rest = rest.slice(number.length + unit.length);
  }
  if (total === INT64 && !isNegative) return invalid;
  return { value: isNegative ? -total : total };
}

/** `0.<digits>` of a unit. Go calculates it in float64, with as many digits as an int64 holds. */
function fractionOf(digits: string, unit: bigint): bigint {
  let kept = digits.replace(/^(0*\d{0,19}).*$/, "$1");
  if (BigInt(kept) > INT64) kept = kept.slice(0, -1);
  return BigInt(Math.trunc(Number(kept) * (Number(unit) / 10 ** kept.length)));
}

const signalNames: ReadonlySet<string> = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);

/** Whether Docker accepts the text as a signal: an int64 but 0, or a name with or without SIG, in any case. */
export function isSignal(text: string): boolean {
  if (/^[-+]?\d+$/.test(text)) {
    const number = BigInt(text.replace("+", ""));
    return number !== 0n && -INT64 <= number && number < INT64;
  }
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
  const problem = addressProblem(address);
  if (problem !== undefined) return { message: problem };
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

/** What Go's net package says of an address, with or without brackets; "" = none is there. */
function addressProblem(text: string): string | undefined {
  let bare = text;
  if (text.startsWith("[")) {
    const fail = (reason: string): string => `invalid IP address ${text}: address ${text}:: ${reason}`;
    const end = text.indexOf("]");
    if (end < 0) return fail("missing ']' in address");
    const after = text.slice(end + 1);
    if (after !== "") return fail(after.startsWith(":") ? "too many colons in address" : "missing port in address");
    bare = text.slice(1, end);
    if (bare.includes("[")) return fail("unexpected '[' in address");
  }
  return bare === "" || isAddress(bare) ? undefined : `invalid IP address: ${bare}`;
}

function isAddress(text: string): boolean {
  if (text.includes(":")) return URL.canParse(`http://[${text}]/`);
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|$)){4}$/.test(text) && !text.endsWith(".");
}
