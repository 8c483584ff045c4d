import { expect, test } from "vitest";
import { GraphBuilder, type VertexMeta } from "../../../src/graph/graph.ts";
import type { ExecOp, FileOp } from "../../../src/graph/op.ts";
import { onlyStages, stablePrefix } from "../../../src/graph/stable-prefix.ts";
import { digestOf } from "../../../src/oci/digest.ts";

const meta = (name: string, stage: string): VertexMeta => ({ name, stage, cache: "use", instruction: name });
const exec = (command: string): ExecOp => ({ kind: "exec", args: [command] }) as unknown as ExecOp;
const copy = (dest: string): FileOp => ({ kind: "file", action: { kind: "copy", dest } }) as unknown as FileOp;

/** base ─ install ─ COPY context ─ make;  tools (pure) ─ COPY --from=tools after install */
function sample() {
  const builder = new GraphBuilder();
  const platform = { os: "linux", architecture: "amd64" };
  const base = builder.add({ kind: "image", reference: "b", digest: digestOf("b"), platform }, [], meta("base", "app"));
  const context = builder.add({ kind: "local", name: "context" }, [], meta("context", ""));
  const tools = builder.add(exec("tools"), [base], meta("tools", "tools"));
  const install = builder.add(exec("install"), [base], meta("install", "app"));
  const fromTools = builder.add(copy("/t"), [install, tools], meta("copy tools", "app"));
  const fromContext = builder.add(copy("/c"), [fromTools, context], meta("copy context", "app"));
  const make = builder.add(exec("make"), [fromContext], meta("make", "app"));
  return builder.build([make]);
}

const names = ({ vertices }: ReturnType<typeof sample>) => [...vertices.values()].map(({ meta: { name } }) => name);

test("what nobody has 14: each stage up to the first step that reads the context, stages that are copied from included", () => {
  expect(names(stablePrefix(sample(), ({ op }) => op.kind === "local"))).toEqual([
    "base",
    "install",
    "tools",
    "copy tools",
  ]);
});

test("a stop takes what comes after it along, and sources that are read by nothing else", () => {
  expect(names(stablePrefix(sample(), ({ meta: { name } }) => name === "copy tools"))).toEqual([
    "base",
    "install",
    "tools",
  ]);
  expect(names(stablePrefix(sample(), ({ meta: { name } }) => name === "make"))).toEqual(names(sample()).slice(0, -1));
  expect(names(stablePrefix(sample(), () => true))).toEqual([]);
});

test("some stages: with what they need, and no more", () => {
  expect(names(onlyStages(sample(), new Set(["tools"])))).toEqual(["base", "tools"]);
  expect(names(onlyStages(sample(), new Set(["app"])))).toEqual(names(sample()));
});
