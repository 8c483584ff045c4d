// The two ends of a progress display: events come in, text goes to a terminal or a log.
import type { BuildEvent } from "../../index.ts";

export interface ProgressRenderer {
  event(event: BuildEvent): void;
  /** Draws what is left and gives the terminal back. */
  end(): void;
}

/** The terminal, as far as progress needs it. */
export interface ProgressTarget {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  readonly color: boolean;
  readonly columns: () => number;
  readonly rows: () => number;
}
