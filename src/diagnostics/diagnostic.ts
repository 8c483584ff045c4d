// The user's text is at fault: a value, collected by whoever finds it and never thrown by them.
import type { Span } from "./source.ts";

export type Severity = "error" | "warning";

export interface Related {
  readonly span: Span;
  readonly message: string;
}

/** A certain remedy: replace the text of `span` by `text`. */
export interface Fix {
  readonly span: Span;
  readonly text: string;
}

export interface Diagnostic {
  /** PascalCase. Build checks have BuildKit's rule names; only warnings can be silenced. */
  readonly code: string;
  readonly severity: Severity;
  /** BuildKit's text where it has one, which scripts look for. */
  readonly message: string;
  /** The cause in plain words, where the message does not say it so. */
  readonly summary?: string;
  readonly span: Span;
  /** Where a person has to look, if that is not what BuildKit points at. */
  readonly focus?: Span;
  readonly related?: readonly Related[];
  /** One remedy, starting lower-case: `did you mean "build"?`. */
  readonly help?: string;
  readonly fix?: Fix;
  /** Documentation of the rule. */
  readonly url?: string;
  /** One sentence on the rule in general (BuildKit's `description`). */
  readonly description?: string;
}
