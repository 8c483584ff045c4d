// URLs as they may be shown: without credentials.

const SECRET_PARAMETER = /token|secret|passw|signature|credential|^sig$|^key$|api[-_]?key|access[-_]?key/i;

/** `text` with every `user:password@` of a URL in it replaced (BuildKit's form), and the values of query parameters that look like secrets. */
export function redactUrls(text: string): string {
  return text
    .replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)([^\s/?#@]*(?:@[^\s/?#@]*)*)@/g, (_all, scheme: string, user: string) =>
      user.includes(":") ? `${scheme}xxxxx:xxxxx@` : `${scheme}xxxxx@`,
    )
    .replace(/([?&])([^=&#\s]+)=([^&#\s"']+)/g, (all, mark: string, name: string) =>
      SECRET_PARAMETER.test(name) ? `${mark}${name}=xxxxx` : all,
    );
}
