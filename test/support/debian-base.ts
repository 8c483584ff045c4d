// A base image that nobody of us made: Debian bookworm by mmdebstrap, put into an OCI layout by umoci.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { accepted } from "./judges.ts";

/** Makes the layout `folder`/debian with the tag `bookworm-slim`; about 20 s. Needs root and the network. */
export async function makeDebianBase(folder: string): Promise<string> {
  const [layout, tar] = [join(folder, "debian"), join(folder, "debian.tar")];
  const image = `${layout}:bookworm-slim`;
  const targets = await accepted("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
  const mirror = targets.split("\n").find((uri) => /\/debian\/?$/.test(uri)) ?? "http://deb.debian.org/debian";
  const slim = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"].flatMap((path) => [
    "--dpkgopt",
    `path-exclude=${path}`,
  ]);
  await accepted("mmdebstrap", [
    "--quiet",
    "--variant=minbase",
    ...slim,
    "--include=ca-certificates",
    "bookworm",
    tar,
    mirror,
  ]);
  await accepted("umoci", ["init", "--layout", layout]);
  await accepted("umoci", ["new", "--image", image]);
  await accepted("umoci", ["raw", "add-layer", "--image", image, tar]);
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  await accepted("umoci", ["config", "--image", image, "--config.env", path, "--config.cmd", "bash"]);
  rmSync(tar);
  return image;
}
