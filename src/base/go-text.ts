// Values as Go's packages read them, where BuildKit's meaning depends on it.

/** Go's strconv.ParseBool; undefined where it fails. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}
