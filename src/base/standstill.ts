// Work that stands still while room is being made for it: asked for by the store, done by whoever runs the work.

/** Disposing lets the work go on. */
export interface Standstill extends Disposable {
  /** Ends the work where it stands: it does nothing any more, also when it is let go. */
  end(): void;
}
