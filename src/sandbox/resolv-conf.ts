// What a step's /etc/resolv.conf and /etc/hosts say (reference S52, S53, pain 14). Texts in, texts out. A name server is never invented.

/** Line starting with nameserver and its address. */
const NAMESERVER = /^\s*nameserver\s+(\S+)/;

/** The stub of systemd-resolved, whose real servers are in another file. */
const SYSTEMD_STUB = "127.0.0.53";

/** Whether `text` names systemd-resolved's stub and nothing else. */
export function isSystemdStubOnly(text: string): boolean {
  const servers = nameserversOf(text);
  return servers.length > 0 && servers.every((server) => server === SYSTEMD_STUB);
}

/** Whether every server that `text` names is one that only the machine itself reaches. */
export function hasOnlyLoopback(text: string): boolean {
  const servers = nameserversOf(text);
  return servers.length > 0 && servers.every(isLoopback);
}

/**
 * The file for a network namespace of its own: the machine's, without the servers that only the machine itself reaches over loopback. Where none is left,
 * `forwarder` (an address that the network helper forwards to the machine's resolver) takes their place.
 */
export function resolvConfForNamespace(text: string, forwarder: string | undefined): string {
  const lines = text.split("\n").filter((line) => !isLoopback(NAMESERVER.exec(line)?.[1] ?? ""));
  if (forwarder !== undefined && hasOnlyLoopback(text)) lines.unshift(`nameserver ${forwarder}`);
  const joined = lines.join("\n");
  return joined === "" || joined.endsWith("\n") ? joined : `${joined}\n`;
}

/** Addresses of the name servers, in order. */
export function nameserversOf(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => NAMESERVER.exec(line)?.[1] ?? []);
}

/** S52: the machine's own hosts file has no part in it. */
export function hostsFile(
  hostname: string,
  extraHosts: readonly { readonly name: string; readonly address: string }[],
): string {
  const lines = [
    `127.0.0.1\tlocalhost ${hostname}`,
    "::1\tlocalhost ip6-localhost ip6-loopback",
    ...extraHosts.map(({ name, address }) => `${address}\t${name}`),
  ];
  return `${lines.join("\n")}\n`;
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
