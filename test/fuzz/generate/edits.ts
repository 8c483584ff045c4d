// What a person does between two builds: to the Dockerfile, to the context, to the flags, or nothing that counts.
import { Random } from "../random.ts";
import type { ContextFile, FuzzCase } from "../fuzz-case.ts";

/** Says itself by its content, so that it means the same while the case shrinks; where what it changes is gone, it changes nothing. */
export type Edit =
  | { readonly kind: "part"; readonly from: string; readonly to: string | undefined }
  | { readonly kind: "new part"; readonly after: string; readonly text: string }
  | { readonly kind: "file"; readonly path: string; readonly to: ContextFile | undefined }
  | { readonly kind: "new file"; readonly file: ContextFile }
  | { readonly kind: "ignore"; readonly line: string }
  | { readonly kind: "argument"; readonly word: string }
  | { readonly kind: "nothing" };

export function drawEdit(seed: number, each: FuzzCase): Edit {
  const random = new Random(seed).fork("edit");
  const part = random.pick(each.parts.length > 0 ? each.parts : [""]);
  const file = random.pick(each.files);
  return random.weighted<() => Edit>([
    [3, () => ({ kind: "file", path: file.path, to: changed(random, file) })],
    [1, () => ({ kind: "file", path: file.path, to: undefined })],
    [
      2,
      () => ({
        kind: "new file",
        file: {
          kind: "file",
          path: random.pick(["new.txt", "src/new.c", "docs/new.md", ".new"]),
          mode: "0644",
          text: "new\n",
        },
      }),
    ],
    [
      3,
      () => ({
        kind: "new part",
        after: part,
        text: random.pick([
          "ENV A=edited",
          "ARG B=edited",
          "LABEL edited=1",
          "# edited",
          "RUN true",
          "WORKDIR /edited",
          "USER 7",
          "COPY a.txt /edited",
          "CMD edited",
        ]),
      }),
    ],
    [2, () => ({ kind: "part", from: part, to: undefined })],
    [3, () => ({ kind: "part", from: part, to: reworded(random, part) })],
    [0.7, () => ({ kind: "ignore", line: random.pick(["*.md", "docs", "new.txt", "src/sub"]) })],
    [1, () => ({ kind: "argument", word: `--build-arg=${random.pick(["A", "B", "FOO"])}=edited` })],
    [1, () => ({ kind: "nothing" })],
  ])();
}

function changed(random: Random, file: ContextFile): ContextFile {
  switch (file.kind) {
    case "file":
      return random.chance(0.7)
        ? { ...file, text: `${file.text}edited\n` }
        : { ...file, mode: file.mode === "0755" ? "0644" : "0755" };
    case "directory":
      return { ...file, mode: file.mode === "0700" ? "0755" : "0700" };
    case "symlink":
      return { ...file, target: "edited" };
    case "archive":
      return { ...file, members: file.members.slice(1) };
    case "hard link":
    case "fifo":
      return { kind: "file", path: file.path, mode: "0644", text: "edited\n" };
  }
}

/** The same instruction in other words, or another one. */
function reworded(random: Random, part: string): string {
  if (/^\s*RUN\s[^<]*$/i.test(part) && !part.includes("["))
    return `${part}; ${random.pick([":", "true", "echo edited > /edited"])}`;
  return random.chance(0.5) ? part.replace(/(?<=\S)[ ](?=\S)/, "  ") : part.replace("=", "=edited");
}

export function applyEdit(each: FuzzCase, edit: Edit): FuzzCase {
  switch (edit.kind) {
    case "part": {
      const at = each.parts.indexOf(edit.from);
      return at === -1
        ? each
        : { ...each, parts: each.parts.toSpliced(at, 1, ...(edit.to === undefined ? [] : [edit.to])) };
    }
    case "new part": {
      const at = each.parts.indexOf(edit.after);
      return at === -1 ? each : { ...each, parts: each.parts.toSpliced(at + 1, 0, edit.text) };
    }
    case "file":
      return {
        ...each,
        files: each.files.flatMap((file) =>
          file.path !== edit.path ? [file] : edit.to === undefined ? [] : [edit.to],
        ),
      };
    case "new file":
      return each.files.some(({ path }) => path === edit.file.path)
        ? each
        : { ...each, files: [...each.files, edit.file] };
    case "ignore":
      return { ...each, ignore: [...each.ignore, edit.line] };
    case "argument":
      return { ...each, args: [...each.args, edit.word] };
    case "nothing":
      return each;
  }
}
