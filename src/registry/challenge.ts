// WWW-Authenticate (RFC 9110 §11.6.1; distribution-spec token authentication; reference RG04): text to values. Never throws.

/** One way in that a server offers. */
export interface Challenge {
  /** Lower-case: "bearer", "basic". */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Reads one or several challenges of a header, `undefined` for none. What is malformed ends the list. */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let rest = header ?? "";
  for (;;) {
    rest = rest.replace(/^[\s,]+/, "");
    const parameter = readParameter(rest);
    const last = challenges.at(-1);
    if (parameter !== undefined && last !== undefined) {
      // The first of two equal names wins: a second one cannot redirect credentials.
      if (!last.parameters.has(parameter.name)) last.parameters.set(parameter.name, parameter.value);
      rest = parameter.rest;
      continue;
    }
    const scheme = new RegExp(`^(${TOKEN})(?=\\s|,|$)`).exec(rest)?.[1];
    if (scheme === undefined) return challenges;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
    rest = rest.slice(scheme.length).replace(/^\s+[A-Za-z0-9._~+/-]+=*\s*(?=,|$)/, "");
  }
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(`^(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]+))`, "s");

function readParameter(
  text: string,
): { readonly name: string; readonly value: string; readonly rest: string } | undefined {
  const match = PARAMETER.exec(text);
  if (!match) return undefined;
  const value = match[2]?.replace(/\\(.)/gs, "$1") ?? match[3] ?? "";
  return { name: match[1]!.toLowerCase(), value, rest: text.slice(match[0].length) };
}

/** `repository:name:actions` as a list without duplicates: the actions of one name merged, all sorted (RG08). */
export function mergeScopes(scopes: readonly string[]): readonly string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const colon = scope.lastIndexOf(":");
    const resource = colon < 0 ? scope : scope.slice(0, colon);
    const merged = actions.get(resource) ?? new Set();
    for (const action of scope.slice(colon + 1).split(",")) merged.add(action);
    actions.set(resource, merged);
  }
  return [...actions].map(([resource, names]) => `${resource}:${[...names].toSorted().join(",")}`).toSorted();
}
