// EXPOSE: ports, ranges and protocols (reference O05, V24, K21, K22).
import type { Span } from "../../diagnostics/source.ts";
import type { ExposeInstruction } from "../../frontend/ast.ts";
import { expandWords } from "../../frontend/expand.ts";
import { parsePortSpec, type PortSpec } from "../../frontend/literals.ts";
import { goQuote } from "../../base/go-text.ts";
import { historyEntry, listHistory } from "../history.ts";
import { scopeOf, withConfig, withHistory, type ImageState } from "../image-state.ts";
import { expansionRemedy, type Reporter } from "../reporter.ts";
import type { LowerContext } from "./context.ts";

export function lowerExpose(instruction: ExposeInstruction, state: ImageState, context: LowerContext): ImageState {
  const ports: string[] = [];
  let isBroken = false;
  // The history shows the order of the words as they are written, sorted, each port as often as it is named.
  for (const word of instruction.ports.toSorted((a, b) => compareText(a.text, b.text))) {
    for (const text of expandPort(word, state, context) ?? [undefined]) {
      const parsed = text === undefined ? undefined : readPort(text, word.span, context.reporter);
      if (!parsed) {
        isBroken = true;
        continue;
      }
      for (let port = parsed.start; port <= parsed.end; port++) ports.push(`${port}/${parsed.protocol}`);
    }
  }
  if (isBroken) return state;
  const added = Object.fromEntries(ports.toSorted(compareText).map((port) => [port, {}]));
  const ExposedPorts = { ...state.config.ExposedPorts, ...added };
  return withHistory(withConfig(state, { ExposedPorts }), historyEntry(listHistory("EXPOSE", ports)));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** The words that one word becomes. Of variables in ports BuildKit does not say that they are undefined. */
function expandPort(
  { text, span }: { readonly text: string; readonly span: Span },
  state: ImageState,
  { escape, reporter }: LowerContext,
): readonly string[] | undefined {
  const expansion = expandWords(text, scopeOf(state), { escape });
  if (expansion.error === undefined) return expansion.words;
  reporter.error("ExpansionFailed", span, expansion.error, expansionRemedy({ text, span }, expansion.error));
  return undefined;
}

function readPort(text: string, span: Span, reporter: Reporter): PortSpec | undefined {
  const parsed = parsePortSpec(text);
  if ("message" in parsed) {
    reporter.error("InvalidPort", span, parsed.message, {
      ...(parsed.message.startsWith("invalid containerPort")
        ? { summary: `${goQuote(text)} is not a port number` }
        : {}),
      help: "write EXPOSE 80, EXPOSE 80/tcp or EXPOSE 8000-8010",
    });
    return undefined;
  }
  const { hasHostPart, rawProtocol } = parsed.value;
  if (hasHostPart) {
    const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`;
    reporter.warn("ExposeInvalidFormat", span, message);
  }
  if (rawProtocol !== rawProtocol.toLowerCase()) {
    reporter.warn("ExposeProtoCasing", span, `Defined protocol '${text}' in EXPOSE instruction should be lowercase`);
  }
  return parsed.value;
}
