// The attributes of one `--cache-from` or `--cache-to`, read by kind of value. Wrong ones are a BuildError of code "usage".
import { BuildError, suggest, type CacheLocation } from "../index.ts";
import { booleanAttribute } from "./csv.ts";

type CacheDigest = NonNullable<(CacheLocation & { readonly kind: "local" })["digest"]>;

/** The attributes of one cache. */
export class CacheAttributes {
  readonly flag: string;
  readonly type: string;
  readonly #given: ReadonlyMap<string, string>;

  constructor(flag: string, type: string, given: ReadonlyMap<string, string>) {
    this.flag = flag;
    this.type = type;
    this.#given = given;
  }

  refuseUnknown(known: readonly string[]): void {
    for (const key of this.#given.keys()) {
      if (known.includes(key)) continue;
      const near = suggest(key, known);
      throw new BuildError("usage", `${this.flag} type=${this.type} has no option ${JSON.stringify(key)}`, {
        help: near === undefined ? `options: ${known.join(", ")}` : `did you mean "${near}"?`,
      });
    }
  }

  text(key: string): string | undefined {
    const value = this.#given.get(key);
    return value === "" ? undefined : value;
  }

  flagOf(key: string, otherwise: boolean): boolean {
    return this.#given.has(key) ? booleanAttribute(key, this.#given.get(key)) : otherwise;
  }

  list(key: string): string[] {
    return (this.text(key) ?? "").split(";").filter((part) => part !== "");
  }

  oneOf<T extends string>(key: string, values: readonly T[], otherwise: T): T {
    const text = this.text(key);
    const value = text === undefined ? otherwise : values.find((known) => known === text);
    if (value !== undefined) return value;
    throw new BuildError("usage", `invalid ${key} ${JSON.stringify(text)} for ${this.flag}`, {
      help: `one of ${values.join(", ")}`,
    });
  }

  /** Milliseconds of a Go duration: `24h`, `1h30m`. */
  duration(key: string, otherwise: string): number {
    const text = this.text(key) ?? otherwise;
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
    if (parts.map(([part]) => part).join("") !== text)
      throw new BuildError("usage", `invalid duration ${JSON.stringify(text)} for ${key}`, {
        help: "write it like 24h",
      });
    const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
    return parts.reduce((total, [, count, unit]) => total + Number(count) * units[unit!]!, 0);
  }

  count(key: string): number | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    if (!/^[1-9]\d{0,8}$/.test(text))
      throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for ${key}: expected a number from 1`);
    return Number(text);
  }

  digest(key: string): CacheDigest | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    if (!/^sha256:[0-9a-f]{64}$/.test(text))
      throw new BuildError("usage", `invalid digest ${JSON.stringify(text)} in ${this.flag}`);
    return text as CacheDigest;
  }
}
