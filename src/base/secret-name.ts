// Which variables hold secrets, as far as a name can tell: BuildKit's rule SecretsUsedInArgOrEnv (reference K16).

const SECRET = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS = /(?:^|_)(?:public|file|version)(?:_|$)/i;

export function isSecretName(name: string): boolean {
  return SECRET.test(name) && !HARMLESS.test(name);
}
