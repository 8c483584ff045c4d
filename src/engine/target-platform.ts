// Which platform a build is for: the one that was asked for, else this machine's. What is not built yet is refused here (reference N02).
import { BuildError } from "../diagnostics/build-error.ts";
import { formatPlatform, hostPlatform, parsePlatform, type Platform } from "../oci/platform.ts";

/** `texts` are the values of --platform. Fails with "usage" or "unsupported". */
export function targetPlatform(texts: readonly string[]): Platform {
  const host = hostPlatform();
  const [text, ...more] = texts;
  if (text === undefined) return host;
  const platform = parsePlatform(text, host);
  if (!platform)
    throw new BuildError("usage", `failed to parse platform ${text}`, {
      help: `write it like ${formatPlatform(host)}`,
    });
  if (more.length > 0)
    throw new BuildError("unsupported", "several platforms in one build are not built yet", {
      help: "build one platform at a time",
    });
  refuseWindows(platform);
  return platform;
}

/** Layers of Windows images have another form: `Files/` for the files, `Hives/` for the registry. */
export function refuseWindows(platform: Platform): void {
  if (platform.os !== "windows") return;
  throw new BuildError("unsupported", `tsbuild cannot build Windows images yet (${formatPlatform(platform)})`, {
    help: "for a Linux image: --platform linux/amd64; for a Windows image use BuildKit on Windows",
  });
}
