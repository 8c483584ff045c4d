// Limits of RUN as flags: reference S12, U20.
import { expect, test } from "vitest";
import { parseBuildArguments } from "../../../src/cli/build-args.ts";

const limits = async (...words: string[]) => {
  const parsed = await parseBuildArguments([...words, "."], "/w", {});
  if (typeof parsed === "string") throw new Error("help");
  return parsed.build.resources;
};

const ALL = {
  memory: 2 ** 30,
  memorySwap: 2 ** 31,
  cpuShares: 512,
  cpuPeriod: 100_000,
  cpuQuota: 50_000,
  cpusetCpus: "0-1,3",
  cpusetMems: "0",
};

test("S12: limits by --resource, several in one or one by one, and by docker's flags", async () => {
  const first = 'memory=1g,memory-swap=2g,"cpuset-cpus=0-1,3",cpu-shares=512,cpu-period=100000';
  expect(await limits("--resource", first, "--resource=cpu-quota=50000", "--resource", "CPUSET-MEMS=0")).toEqual(ALL);
  const sizes = ["-m", "1g", "--memory-swap", "2g"];
  const cpus = ["-c", "512", "--cpu-period", "100000", "--cpu-quota", "50000", "--cpuset-cpus", "0-1,3"];
  expect(await limits(...sizes, ...cpus, "--cpuset-mems", "0")).toEqual(ALL);
  expect(await limits("--memory=1g", "--cpu-shares=512")).toEqual({ memory: 2 ** 30, cpuShares: 512 });
});

test("S12: without a limit there is none; zero is none, -1 is no limit of swap or of time, the last of a name counts", async () => {
  expect(await limits()).toBeUndefined();
  expect(await limits("--memory", "0", "--cpu-quota", "0")).toBeUndefined();
  expect(await limits("-m", "1m", "--memory-swap=-1", "--cpu-quota=-1")).toEqual({
    memory: 2 ** 20,
    memorySwap: -1,
    cpuQuota: -1,
  });
  expect(await limits("--resource", "memory=1m", "--resource", "memory=2m")).toEqual({ memory: 2 ** 21 });
});

test.each([
  [["--resource", "memory=lots"], 'invalid memory "lots" for --resource', "write it like 512m"],
  [["-m", "-1"], 'invalid memory "-1" for --memory', "write it like 512m"],
  [["--cpu-shares", "1.5"], 'invalid cpu-shares "1.5" for --cpu-shares', "write it like 512"],
  [["--resource", "cpu-quota=-2"], 'invalid cpu-quota "-2" for --resource', "in microseconds"],
  [["--cpuset-cpus", "0-"], 'invalid cpuset-cpus "0-" for --cpuset-cpus', "write it like 0-1"],
  [["--resource", "cpus=2"], "unexpected key 'cpus' in 'cpus=2'", "known keys: memory, memory-swap"],
  [["--resource", "memory"], "invalid field 'memory' must be a key=value pair", "write memory=512m"],
  [["--memory-swap", "1g"], "there is no limit of memory", "give memory as well"],
  [["-m", "2m", "--memory-swap", "1m"], "1048576 is less than 2097152", "at least as much as memory"],
])("S12: %j is refused", async (words, message, help) => {
  await expect(limits(...words)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(message) as string,
    help: expect.stringContaining(help) as string,
  });
});
