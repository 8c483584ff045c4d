// Nominal types over primitives. Only parse*/assert* functions make branded values.

declare const brand: unique symbol;

/** A `T` that only the module owning the name `N` can make. */
export type Brand<T, N extends string> = T & { readonly [brand]: N };
