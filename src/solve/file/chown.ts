// Who owns what an operation makes: `user[:group]` of --chown and of USER, by number or by name (reference C10, trap T30).
import { BuildError } from "../../diagnostics/build-error.ts";
import { readGroups, readUsers } from "../../rootfs/passwd.ts";
import type { RootfsView } from "../../rootfs/view.ts";
import type { Owner } from "./draft.ts";

/** (uid_t)-1 means "leave it" to chown(2), so it is nobody's number. */
const MAX_ID = 0xffff_fffe;

const ROOT_OWNER: Owner = { uid: 0, gid: 0 };

/**
 * Resolves `user[:group]` against the root file system below. A user by number has the group of that number, by name its primary group.
 * Names that the databases do not know are 0, silently, as in BuildKit; an unknown group leaves the user's. Fails with `source` where there is nothing to look names up in.
 */
export async function resolveOwner(spec: string, below: RootfsView | undefined): Promise<Owner> {
  const colon = spec.indexOf(":");
  const user = await resolveUser(colon < 0 ? spec : spec.slice(0, colon), below, spec);
  return colon < 0 ? user : { uid: user.uid, gid: await resolveGroup(spec.slice(colon + 1), user.gid, below, spec) };
}

async function resolveUser(name: string, below: RootfsView | undefined, spec: string): Promise<Owner> {
  const id = numericId(name, spec);
  if (id !== undefined) return { uid: id, gid: id };
  const users = await readUsers(databaseOf(below, name, spec));
  const user = users.find((candidate) => candidate.name === name);
  return user ? { uid: user.uid, gid: user.gid } : ROOT_OWNER;
}

async function resolveGroup(
  name: string,
  otherwise: number,
  below: RootfsView | undefined,
  spec: string,
): Promise<number> {
  const id = numericId(name, spec);
  if (id !== undefined) return id;
  const groups = await readGroups(databaseOf(below, name, spec));
  return groups.find((candidate) => candidate.name === name)?.gid ?? otherwise;
}

/** The number that `name` is; nobody at all and "root" are 0 without a look-up. */
function numericId(name: string, spec: string): number | undefined {
  if (name === "" || name === "root") return 0;
  if (!/^[+-]?\d+$/.test(name)) return undefined;
  const id = Number(name);
  if (id >= 0 && id <= MAX_ID) return id;
  throw new BuildError("source", `"${spec}" has an id out of range: ${name}`, { help: `ids go from 0 to ${MAX_ID}` });
}

function databaseOf(below: RootfsView | undefined, name: string, spec: string): RootfsView {
  if (below && !below.isScratch) return below;
  const why = below
    ? "the stage has no files yet, so no /etc/passwd"
    : "with --link the root file system is not looked at";
  throw new BuildError("source", "invalid user index: -1", {
    summary: `"${name}" cannot be looked up: ${why}`,
    help: "name users and groups by number: --chown=1000:1000",
    details: { word: spec },
  });
}
