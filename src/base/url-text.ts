// URLs as they may be shown: without credentials. The one place that decides what of a URL is a secret.

const SECRET_PARAMETER = /token|secret|passw|signature|credential|^sig$|^key$|api[-_]?key|access[-_]?key/i;

const USER = /([A-Za-z][A-Za-z0-9+.-]*:\/\/)([^\s/?#@"']*(?:@[^\s/?#@"']*)*)@/g;

/** `text` with every `user:password@` of a URL in it replaced, in BuildKit's form: for names of steps and the history, where the rest of the text has to stay. */
export function redactUsers(text: string): string {
  return text.replace(USER, (_all, scheme: string, user: string) =>
    user.includes(":") ? `${scheme}xxxxx:xxxxx@` : `${scheme}xxxxx@`,
  );
}

/** As {@link redactUsers}, but of the same length: for a line of the user's own text with marks below it. */
export function maskUsers(text: string): string {
  return text.replace(USER, (_all, scheme: string, user: string) => `${scheme}${user.replace(/[^:]/g, "x")}@`);
}

/** As {@link redactUsers}, and without the values of query parameters that look like secrets: for messages. */
export function redactUrls(text: string): string {
  return redactUsers(text).replace(/([?&])([^=&#\s]+)=([^&#\s"']+)/g, (all, mark: string, name: string) =>
    SECRET_PARAMETER.test(name) ? `${mark}${name}=xxxxx` : all,
  );
}
