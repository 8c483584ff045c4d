// Which variables hold secrets, as far as a name can tell: BuildKit's rule SecretsUsedInArgOrEnv (reference K16).

const SECRET = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS = /(?:^|_)(?:public|file|version)(?:_|$)/i;

export function isSecretName(name: string): boolean {
  return SECRET.test(name) && !HARMLESS.test(name);
}

/** How tokens begin that are made to be recognised: npm, GitHub, GitLab, Slack, AWS, PEM, signed JSON; and a password in a URL. */
const TOKENS = [
  /^npm_[A-Za-z0-9]{20,}$/,
  /^(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}$/,
  /^glpat-[\w-]{20,}$/,
  /^xox[abeoprs]-[\w-]{10,}$/,
  /^A(?:KIA|SIA)[0-9A-Z]{16}$/,
  /^-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  /^eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+$/,
  /^[a-z][a-z0-9+.-]*:\/\/[^/@\s:]*:[^/@\s]+@/i,
];

/** Whether a text is made like a credential. */
export function isSecretValue(text: string): boolean {
  return TOKENS.some((token) => token.test(text));
}
