// What an instruction takes files from besides its own stage: `COPY --from` and a mount's `from` (reference F10, F11, V22, V26).
import { positionAt, type Span } from "../diagnostics/source.ts";
import type { CopyInstruction, Instruction, MountFlag, RunInstruction } from "../frontend/ast.ts";
import { expandWord } from "../frontend/expand.ts";
import { goQuote } from "../base/go-text.ts";
import type { PlanOptions } from "./options.ts";
import type { Reporter } from "./reporter.ts";
import { badName, externalRequest, findStage, type SourceRequest, type StageNode, unparsableName } from "./stages.ts";

export interface Link {
  readonly request: SourceRequest;
  /** As written. */
  readonly text: string;
  readonly span: Span;
  readonly kind: "copy" | "mount";
}

/** Undefined = the build context, or nothing. COPY has at most one, RUN one per mount. */
export type Links = readonly (Link | undefined)[];

interface LinkScope {
  readonly nodes: readonly StageNode[];
  readonly options: PlanOptions;
  readonly escape: string;
  readonly reporter: Reporter;
}

/** The links of an instruction; errors are reported and leave no link. */
export function linksOf(instruction: Instruction, scope: LinkScope): Links {
  if (instruction.kind === "copy") return copyLinks(instruction, scope);
  if (instruction.kind === "run") return mountLinks(instruction, scope);
  return [];
}

function copyLinks(instruction: CopyInstruction, scope: LinkScope): Links {
  const { from } = instruction;
  if (!from || from.text === "") return [];
  const expansion = expandWord(from.text, { get: () => undefined, names: () => [] }, { escape: scope.escape });
  if (expansion.error !== undefined || expansion.value !== from.text) {
    const message =
      "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround";
    scope.reporter.error("VariableInFrom", from.span, message);
    return [];
  }
  const request = requestFor(from.text, from.span, scope, "copy");
  return request ? [{ request, text: from.text, span: from.span, kind: "copy" }] : [];
}

function mountLinks(instruction: RunInstruction, scope: LinkScope): Links {
  return instruction.mounts.map((mount) => {
    const field = fromField(mount);
    // A tmpfs takes nothing from it, but BuildKit wants it to exist all the same.
    if (!field?.value || mount.type === "secret" || mount.type === "ssh") return undefined;
    if (/\$./.test(field.value)) {
      const message = "'from' doesn't support variable expansion, define alias stage instead";
      scope.reporter.error("VariableInFrom", field.span, message);
      return undefined;
    }
    const request = requestFor(field.value, field.span, scope, "mount");
    return request && { request, text: field.value, span: field.span, kind: "mount" };
  });
}

function fromField(mount: MountFlag): MountFlag["fields"][number] | undefined {
  return mount.fields.findLast(({ key }) => key === "from");
}

function requestFor(text: string, span: Span, scope: LinkScope, kind: Link["kind"]): SourceRequest | undefined {
  const { nodes, options, reporter } = scope;
  // Only COPY knows stages by number; to a mount a number is a name like any other.
  if (kind === "copy" && /^[+-]?\d+$/.test(text)) {
    const index = Number(text);
    if (nodes[index]) return { kind: "stage", index };
    reporter.error("InvalidStageIndex", span, `invalid stage index ${index}`, {
      summary: `there is no stage ${index}: ${nodes.length === 1 ? "the only stage is number 0, this one" : `the stages are numbered 0 to ${nodes.length - 1}`}`,
      help:
        nodes.length === 1
          ? "put the stage to copy from before this one and name it: FROM … AS name, COPY --from=name"
          : "name the stage to copy from: FROM … AS name, COPY --from=name",
    });
    return undefined;
  }
  const found = findStage(nodes, text);
  if (found) return { kind: "stage", index: found.index };
  const request = externalRequest(text, options.platform, options);
  if (!request) {
    const names = nodes.map(({ name }) => name).filter((name) => name !== "");
    reporter.error("InvalidBaseName", span, unparsableName(text), badName(text, names));
  }
  return request;
}

/** Reports a link to a stage that comes too late; true where it is usable (F10). */
export function checkOrder(link: Link, node: StageNode, nodes: readonly StageNode[], reporter: Reporter): boolean {
  if (link.request.kind !== "stage" || link.request.index < node.index) return true;
  const [text, current] = [goQuote(link.text), goQuote(node.displayName)];
  const message =
    link.kind === "copy"
      ? `cannot copy from stage ${text}, it needs to be defined before current stage ${current}`
      : `cannot mount from stage ${text} to ${current}, stage needs to be defined before current command`;
  const declared = nodes[link.request.index]!.stage.from;
  const { line } = positionAt(declared.span.source, declared.span.start);
  reporter.error("StageDefinedLater", link.span, message, {
    summary: `stage ${text} is declared later, on line ${line}; a stage can take files only from earlier ones`,
    help: `move stage ${text} up, above the one that needs it`,
  });
  return false;
}
