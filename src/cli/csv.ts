// `type=oci,dest=out.tar,"a=b,c"`: the comma-separated fields of docker's flags (Go's encoding/csv, one record).
import { BuildError } from "../index.ts";

/** Fields of one record; a field that starts with a quote may hold commas and doubled quotes. */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at <= text.length) {
    if (text[at] === '"') {
      const { value, next } = quotedField(text, at);
      fields.push(value);
      at = next + 1;
    } else {
      const comma = text.indexOf(",", at);
      const end = comma < 0 ? text.length : comma;
      fields.push(text.slice(at, end));
      at = end + 1;
    }
  }
  return fields;
}

function quotedField(text: string, start: number): { readonly value: string; readonly next: number } {
  let value = "";
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] !== '"') value += text[at];
    else if (text[at + 1] === '"') value += text[at++];
    else if (at + 1 === text.length || text[at + 1] === ",") return { value, next: at + 1 };
    else break;
  }
  throw new BuildError("usage", `unbalanced quotes in ${JSON.stringify(text)}`);
}

export interface Attribute {
  readonly key: string;
  /** Undefined: a field without "=". */
  readonly value: string | undefined;
}

/** `key=value` fields, keys in lower case. */
export function csvAttributes(text: string): Attribute[] {
  return csvFields(text).map((field) => {
    const cut = field.indexOf("=");
    if (cut < 0) return { key: field.trim(), value: undefined };
    return { key: field.slice(0, cut).trim().toLowerCase(), value: field.slice(cut + 1) };
  });
}

/** Go's strconv.ParseBool; a key alone means true (E31). */
export function booleanAttribute(name: string, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|true|T|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|false|F|FALSE|False)$/.test(value)) return false;
  throw new BuildError("usage", `non-bool value specified for ${name}`, { help: `use ${name}=true or ${name}=false` });
}
