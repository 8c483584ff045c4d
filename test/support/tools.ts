// Programs that the base image of the tests lacks.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { accepted } from "./judges.ts";

/** A directory below `root` with these commands of the machine and their libraries: they run in an image that has neither, where `$T` is that directory. */
export async function makeTools(root: string, names: readonly string[]): Promise<string> {
  const folder = join(root, "tools");
  mkdirSync(folder);
  for (const name of names) {
    const path = (await accepted("sh", ["-c", `PATH=$PATH:/usr/sbin:/sbin command -v ${name}`])).trim();
    const libraries = (await accepted("ldd", [path])).match(/\/\S+/g) ?? [];
    for (const library of libraries) copyFileSync(library, join(folder, basename(library)));
    copyFileSync(path, join(folder, `${name}.bin`));
    const loader = basename(libraries.find((library) => /ld-linux/.test(library))!);
    writeFileSync(join(folder, name), `#!/bin/sh\nexec "$T/${loader}" --library-path "$T" "$T/${name}.bin" "$@"\n`, {
      mode: 0o755,
    });
  }
  return folder;
}
