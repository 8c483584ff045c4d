// Platforms (image-spec image-index.md, "platform"), normalised as containerd does.

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  i386: "386",
  x86_64: "amd64",
  "x86-64": "amd64",
  aarch64: "arm64",
  armhf: "arm",
  armel: "arm",
};
const KNOWN_OS = new Set([
  "linux",
  "windows",
  "darwin",
  "freebsd",
  "netbsd",
  "openbsd",
  "android",
  "js",
  "wasip1",
  "solaris",
  "aix",
  "plan9",
  "dragonfly",
  "illumos",
  "ios",
]);
const KNOWN_ARCH = new Set([
  "386",
  "amd64",
  "arm",
  "arm64",
  "loong64",
  "mips",
  "mipsle",
  "mips64",
  "mips64le",
  "ppc64",
  "ppc64le",
  "riscv64",
  "s390x",
  "wasm",
  "sparc64",
]);

/** Canonical form: `x86_64` → `amd64`, `arm64/v8` → `arm64`, `arm` → `arm/v7`, `amd64/v1` → `amd64`. */
export function normalizePlatform(os: string, architecture: string, variant = "", osVersion = ""): Platform {
  const name = architecture.toLowerCase();
  const arch = ARCHITECTURES[name] ?? name;
  let normalVariant = variant.toLowerCase();
  if (arch === "arm") {
    if (name === "armel") normalVariant = "v6";
    else if (normalVariant === "" || normalVariant === "7") normalVariant = "v7";
    else if (/^[568]$/.test(normalVariant)) normalVariant = `v${normalVariant}`;
  }
  if (arch === "arm64" && (normalVariant === "8" || normalVariant === "v8")) normalVariant = "";
  if (arch === "amd64" && normalVariant === "v1") normalVariant = "";
  const system = os.toLowerCase() === "macos" ? "darwin" : os.toLowerCase();
  return {
    os: system,
    architecture: arch,
    ...(normalVariant === "" ? {} : { variant: normalVariant }),
    ...(osVersion === "" ? {} : { osVersion }),
  };
}

/** The platform of this machine. */
export function hostPlatform(): Platform {
  const arch = process.arch === "x64" ? "amd64" : process.arch === "ia32" ? "386" : process.arch;
  return normalizePlatform("linux", arch);
}

/** Whether processors of this machine run programs for `architecture` without help: their own, and 386 on amd64. */
export function isNativeArchitecture(architecture: string): boolean {
  const here = hostPlatform().architecture;
  return architecture === here || (architecture === "386" && here === "amd64");
}

/** Reads `os`, `arch`, `os/arch` or `os/arch/variant`; undefined where the text is none of these. */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform | undefined {
  if (text === "local") return host;
  const parts = text.split("/");
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.()-]+$/.test(part))) return undefined;
  const [first = "", second, third] = parts;
  if (second !== undefined) return normalizePlatform(first.replace(/\(.*$/, ""), second, third);
  if (KNOWN_OS.has(first.toLowerCase())) return normalizePlatform(first, host.architecture, host.variant);
  const arch = normalizePlatform(host.os, first);
  return KNOWN_ARCH.has(arch.architecture) ? arch : undefined;
}

/** `os/arch[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const tail = platform.variant === undefined ? "" : `/${platform.variant}`;
  return `${platform.os}/${platform.architecture}${tail}`;
}

/** Lower is better; undefined where an image for `have` cannot run on `want`. An arm/v7 host takes v6 and v5. */
export function platformDistance(want: Platform, have: Platform): number | undefined {
  if (want.os !== have.os || want.architecture !== have.architecture) return undefined;
  if ((want.variant ?? "") === (have.variant ?? "")) return 0;
  const rank = (variant: string | undefined, otherwise: number) =>
    Number(/^v(\d+)/.exec(variant ?? "")?.[1] ?? otherwise);
  const base = want.architecture === "arm64" ? 8 : 1;
  const distance = rank(want.variant, base) - rank(have.variant, base);
  return distance >= 0 ? distance : undefined;
}
