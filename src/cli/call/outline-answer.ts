// The answers to `--call=outline` and `--call=targets` as docker buildx shows them (reference K40, K41, K46).
import type { OutlineReport, TargetList } from "../../index.ts";
import { columns, goJson } from "./go-text.ts";
import { base64Of, locationOf } from "./location.ts";

type Mount = OutlineReport["outline"]["secrets"][number];

/** Tables of build arguments, secrets and ssh, each with an empty line behind it. */
export function outlineText({ outline }: OutlineReport): string {
  const { name, description, args, secrets, ssh } = outline;
  const head = [
    ["TARGET:", name ?? "(default)"],
    ...(description === undefined ? [] : [["DESCRIPTION:", description]]),
  ];
  const tables: string[] = [];
  if (name !== undefined || description !== undefined) tables.push(columns(head, 1));
  if (args.length > 0) {
    const rows = args.map((arg) => [arg.name, arg.value, arg.description ?? ""]);
    tables.push(columns([["BUILD ARG", "VALUE", "DESCRIPTION"], ...rows], 3));
  }
  const required = (title: string, mounts: readonly Mount[]): void => {
    if (mounts.length === 0) return;
    const rows = mounts.map(({ id, isRequired }) => [id, isRequired ? "true" : ""]);
    tables.push(columns([[title, "REQUIRED"], ...rows], 3));
  };
  required("SECRET", secrets);
  required("SSH", ssh);
  return tables.map((table) => `${table}\n`).join("");
}

/** BuildKit's `frontend.outline`. Its `cache`, which BuildKit leaves empty, is filled. */
export function outlineJson({ outline, linesOf }: OutlineReport): string {
  const { name, description, args, secrets, ssh, caches, source } = outline;
  const location = (span: Mount["span"]) =>
    span.source === source ? { location: locationOf(linesOf(span), [source]) } : {};
  const mounts = (list: readonly Mount[]) =>
    list.map(({ id, isRequired, span }) => ({
      name: id,
      ...(isRequired ? { required: true } : {}),
      ...location(span),
    }));
  return goJson({
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...ifAny(
      "args",
      args.map((arg) => ({
        name: arg.name,
        ...(arg.description === undefined ? {} : { description: arg.description }),
        ...(arg.value === "" ? {} : { value: arg.value }),
        ...location(arg.span),
      })),
    ),
    ...ifAny("secrets", mounts(secrets)),
    ...ifAny("ssh", mounts(ssh)),
    ...ifAny(
      "cache",
      caches.map(({ id, span }) => ({ ID: id, ...location(span) })),
    ),
    sources: [base64Of(source)],
  });
}

function ifAny(key: string, list: readonly unknown[]): Readonly<Record<string, unknown>> {
  return list.length === 0 ? {} : { [key]: list };
}

/** The stages, the default one marked. */
export function targetsText({ targets }: TargetList): string {
  const rows = targets.map(({ name, isDefault, description }) => [
    [name, isDefault ? "(default)" : undefined].filter((part) => part !== undefined).join(" "),
    description ?? "",
  ]);
  return columns([["TARGET", "DESCRIPTION"], ...rows], 1);
}

/** BuildKit's `frontend.targets`. */
export function targetsJson({ targets, source }: TargetList): string {
  return goJson({
    targets: targets.map(({ name, isDefault, description, base, platform, lines }) => ({
      ...(name === undefined ? {} : { name }),
      ...(isDefault ? { default: true } : {}),
      ...(description === undefined ? {} : { description }),
      base,
      ...(platform === undefined ? {} : { platform }),
      location: locationOf(lines, [source]),
    })),
    sources: [base64Of(source)],
  });
}
