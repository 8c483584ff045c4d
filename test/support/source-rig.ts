// A rig beside a site that serves files and git repositories: for what a build reads besides a directory.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { openRig, type CommandOptions, type CommandResult, type Rig } from "./rig.ts";
import { makeRepository, openSite, type Repository, type Site } from "./site.ts";

export class SourceRig {
  #rig: Rig | undefined;
  #site: Site | undefined;
  #count = 0;

  /** For the tests of one file: opened before them, with nothing on the site before each, and closed after them. */
  constructor() {
    beforeAll(async () => {
      this.#rig = await openRig();
      mkdirSync(this.repositories);
      this.#site = await openSite(this.repositories);
    });
    afterAll(async () => {
      await this.site[Symbol.asyncDispose]();
      expect(this.rig.leftovers()).toEqual([]);
      await this.rig[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      this.site.pages.clear();
      this.site.gitAuthorization = undefined;
      this.site.takeRequests();
    });
  }

  get rig(): Rig {
    return this.#rig!;
  }

  get site(): Site {
    return this.#site!;
  }

  /** The directory of the repositories that the site serves. */
  get repositories(): string {
    return join(this.rig.root, "git");
  }

  /** Builds and exports; the folder that came out. */
  async files(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const dest = join(this.rig.root, `out${this.#count++}`);
    await this.rig.must(["-q", "-o", dest, ...args], options);
    return dest;
  }

  /** Owner and group of a path of the result, which a directory on this machine does not show. */
  async ownerOf(path: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const dest = join(this.rig.root, `out${this.#count++}.tar`);
    await this.rig.must(["-q", "-o", `type=tar,dest=${dest}`, ...args], options);
    const listed = execFileSync("tar", ["--numeric-owner", "-tvf", dest], { encoding: "utf8" }).split("\n");
    return listed.find((line) => line.endsWith(` ${path}`))?.split(/\s+/)[1] ?? "";
  }

  /** Steps of a build and how they ended. */
  async outcomes(args: readonly string[], options: CommandOptions = {}): Promise<Record<string, string>> {
    const { stderr } = await this.rig.must(["--progress", "rawjson", ...args], options);
    return Object.fromEntries([...this.rig.outcomes(stderr)].filter(([name]) => /^\[(?!internal|context)/.test(name)));
  }

  /** A build that fails: on one screen, with this exit code, saying all of this. */
  async fails(
    args: readonly string[],
    code: number,
    says: readonly (string | RegExp)[],
    options: CommandOptions = {},
  ): Promise<CommandResult> {
    const result = await this.rig.tsbuild(["-q", ...args], options);
    const screen = result.stderr;
    for (const text of says) expect(screen).toMatch(text instanceof RegExp ? text : literally(text));
    expect(screen.split("\n").length).toBeLessThan(25);
    expect(screen).not.toMatch(/^\s+at /m);
    expect(result.code).toBe(code);
    return result;
  }

  /** A context with this Dockerfile. */
  dockerfile(text: string, more: Readonly<Record<string, string>> = {}): string {
    return this.rig.context({ Dockerfile: text, ...more });
  }

  repository(name: string): Repository {
    return makeRepository(this.repositories, name);
  }
}

function literally(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
}
