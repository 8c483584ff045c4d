// The name of a heredoc whose body becomes a file: it must be one in one directory. Found by BuildKit when it writes the file, by us before anything runs.
import { cleanPath } from "../base/container-path.ts";
import { goQuote } from "../base/go-text.ts";
import type { Heredoc } from "../frontend/ast.ts";
import type { Reporter } from "./reporter.ts";

/** Whether a file can have that name; where not, that is reported. */
export function checkHeredocName({ name, span }: Heredoc, reporter: Reporter): boolean {
  const path = cleanPath(`/${name}`);
  const isRoot = path === "/";
  if (!isRoot && path.lastIndexOf("/") === 0) return true;
  const message = isRoot ? "open : is a directory" : `open ${path}: no such file or directory`;
  reporter.error("InvalidHeredocName", span, message, {
    summary: `a heredoc is written to a file of its name, and ${goQuote(name)} is ${isRoot ? "a directory" : "in a directory that is not there"}`,
    help: "name it with one plain word, such as EOF",
  });
  return false;
}
