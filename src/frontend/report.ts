// How the parts of the parser tell what is wrong: a function, so that none of them knows where diagnostics are kept.
import type { DiagnosticCode } from "../diagnostics/catalog.ts";
import type { Fix, Related } from "../diagnostics/diagnostic.ts";
import type { Span } from "../diagnostics/source.ts";

export interface ReportOptions {
  readonly help?: string | undefined;
  readonly fix?: Fix;
  readonly related?: readonly Related[];
  /** The cause in plain words, where the message does not say it so. */
  readonly summary?: string | undefined;
  /** BuildKit finds it while it takes lines apart, and its text then does not begin with the line. */
  readonly isOfReading?: boolean;
  /** Where a person has to look, if that is not what BuildKit points at. */
  readonly focus?: Span | undefined;
}

/** Records one problem; `message` is BuildKit's text where it has one. */
export type Report = (code: DiagnosticCode, span: Span, message: string, options?: ReportOptions) => void;
