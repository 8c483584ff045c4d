// Image references as docker and podman read them (distribution's reference grammar), normalised: no I/O.
import { parseDigest, type Digest } from "./digest.ts";

/** A normalised reference. Without tag and digest it means `latest` (see {@link withDefaultTag}). */
export interface Reference {
  /** Host with optional port: `docker.io`, `127.0.0.1:5000`. */
  readonly registry: string;
  /** Path in the registry: `library/debian`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST =
  /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]+)?$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** Reads `[host/]path[:tag][@digest]`; undefined where the text is no reference. `docker.io` and `library/` are filled in. */
export function parseReference(text: string): Reference | undefined {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  if (at >= 0 && digest === undefined) return undefined;
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) return undefined;
  const split = splitRegistry(hasTag ? named.slice(0, colon) : named);
  if (!HOST.test(split.registry) || split.repository.length > 255) return undefined;
  if (!split.repository.split("/").every((part) => COMPONENT.test(part))) return undefined;
  return { ...split, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function splitRegistry(name: string): { readonly registry: string; readonly repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const registry = isHost ? (first === "index.docker.io" ? "docker.io" : first) : "docker.io";
  const rest = isHost ? name.slice(slash + 1) : name;
  const repository = registry === "docker.io" && !rest.includes("/") ? `library/${rest}` : rest;
  return { registry, repository };
}

/** The reference with `latest` where it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** Full text: `docker.io/library/debian:12@sha256:…`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** `registry/repository` alone. */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** What people type: `debian:12`, `user/app`, `ghcr.io/a/b:1`. */
export function familiarReference(reference: Reference): string {
  const full = formatReference(reference);
  if (reference.registry !== "docker.io") return full;
  return full.replace(/^docker\.io\/(?:library\/(?=[^/]*$))?/, "");
}
