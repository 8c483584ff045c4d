// Limits of RUN: `--resource memory=1g,cpuset-cpus=0-1`, and docker's flags of the same names (reference S12, U20).
import { parseBytes } from "../base/size-text.ts";
import { BuildError, type StepResources } from "../index.ts";
import type { GivenFlags, LimitFlag } from "./build-flags.ts";
import { csvAttributes } from "./csv.ts";

type Limit = Omit<StepResources, "pidsLimit">;

/** What a value has to be; undefined = it is not. Zero is docker's "no limit". */
const READERS: Readonly<Record<LimitFlag, (text: string) => Limit | undefined>> = {
  memory: (text) => numeric(parseBytes(text), (memory) => ({ memory })),
  "memory-swap": (text) => numeric(text === "-1" ? -1 : parseBytes(text), (memorySwap) => ({ memorySwap })),
  "cpu-shares": (text) => numeric(integer(text), (cpuShares) => ({ cpuShares })),
  "cpu-period": (text) => numeric(integer(text), (cpuPeriod) => ({ cpuPeriod })),
  "cpu-quota": (text) => numeric(text === "-1" ? -1 : integer(text), (cpuQuota) => ({ cpuQuota })),
  "cpuset-cpus": (text) => (isSet(text) ? { cpusetCpus: text } : undefined),
  "cpuset-mems": (text) => (isSet(text) ? { cpusetMems: text } : undefined),
};

const EXAMPLES: Readonly<Record<LimitFlag, string>> = {
  memory: "512m",
  "memory-swap": "1g, or -1 for no limit",
  "cpu-shares": "512",
  "cpu-period": "100000, in microseconds",
  "cpu-quota": "50000, in microseconds",
  "cpuset-cpus": "0-1",
  "cpuset-mems": "0",
};

const NAMES = Object.keys(READERS) as LimitFlag[];

/** All limits that were given, the last of each; undefined = none. */
export function resourcesOf(given: GivenFlags): StepResources | undefined {
  const single = NAMES.flatMap((name) => {
    const text = given[name];
    return text === undefined ? [] : [limitOf(name, text, `--${name}`)];
  });
  const resources = Object.assign({}, ...single, ...given.resource.flatMap(parseResource)) as Limit;
  if (Object.keys(resources).length === 0) return undefined;
  checkSwap(resources);
  return resources;
}

function parseResource(text: string): readonly Limit[] {
  return csvAttributes(text).map(({ key, value }) => {
    const name = NAMES.find((known) => known === key);
    if (name === undefined)
      throw new BuildError("usage", `unexpected key '${key}' in '${text}'`, {
        help: `known keys: ${NAMES.join(", ")}`,
      });
    if (value === undefined)
      throw new BuildError("usage", `invalid field '${key}' must be a key=value pair`, {
        help: `write ${name}=${EXAMPLES[name]}`,
      });
    return limitOf(name, value, "--resource");
  });
}

function limitOf(name: LimitFlag, text: string, flag: string): Limit {
  const limit = READERS[name](text);
  if (limit) return limit;
  throw new BuildError("usage", `invalid ${name} ${JSON.stringify(text)} for ${flag}`, {
    help: `write it like ${EXAMPLES[name]}`,
  });
}

/** The kernel counts memory within memory and swap; without the one it cannot limit the other. */
function checkSwap({ memory, memorySwap }: Limit): void {
  if (memorySwap === undefined) return;
  if (memory === undefined)
    throw new BuildError("usage", "memory-swap is memory and swap together, and there is no limit of memory", {
      help: "give memory as well",
    });
  if (memorySwap !== -1 && memorySwap < memory)
    throw new BuildError("usage", `memory-swap is memory and swap together: ${memorySwap} is less than ${memory}`, {
      help: "give at least as much as memory, or -1 for no limit",
    });
}

function numeric(value: number | undefined, limit: (value: number) => Limit): Limit | undefined {
  if (value === undefined) return undefined;
  return value === 0 ? {} : limit(value);
}

function integer(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function isSet(text: string): boolean {
  return /^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(text);
}
