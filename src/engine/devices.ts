// Devices of this machine, as a build may use them: where they are described, what they are called in the Dockerfile, who may have them (reference R06, S40, S41).
import type { ExecOp } from "../graph/op.ts";
import {
  CDI_DIRECTORIES,
  deviceEdits,
  findDevices,
  isAutoAllowed,
  readCdiDevices,
  type CdiDevice,
  type DeviceEdits,
} from "../sandbox/cdi.ts";

type Requests = NonNullable<ExecOp["devices"]>;

export interface DevicesOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Entitlements: `device`, `device=NAME`, `device=NAME,alias=NAME-IN-THE-DOCKERFILE`. */
  readonly allow: readonly string[];
  readonly onProblem: (text: string) => void;
}

/** The devices of one build. */
export class Devices {
  readonly #options: DevicesOptions;
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #directories: readonly string[];
  #known: Promise<readonly CdiDevice[]> | undefined;

  constructor(options: DevicesOptions) {
    this.#options = options;
    const own = options.environment["TSBUILD_CDI_DIRS"]?.split(":").filter((path) => path !== "");
    this.#directories = own ?? CDI_DIRECTORIES;
    this.#aliases = new Map(
      options.allow.flatMap((text) => {
        const [, name, alias] = /^device=([^,]+),alias=(.+)$/.exec(text) ?? [];
        return name === undefined || alias === undefined ? [] : [[alias, name] as const];
      }),
    );
  }

  /** The first of `requests` that nobody has allowed; undefined where all are. A device that may be missing, and is, needs no leave. */
  async notAllowed(requests: Requests): Promise<string | undefined> {
    const { allow } = this.#options;
    if (allow.includes("device")) return undefined;
    const devices = await this.#devices();
    const refused = requests.find(({ name, isRequired }) => {
      if (allow.includes(`device=${name}`) || this.#aliases.has(name)) return false;
      const found = findDevices(devices, name);
      if (found.length === 0) return isRequired;
      return !found.every((device) => isAutoAllowed(device) || allow.includes(`device=${device.name}`));
    });
    return refused?.name;
  }

  /** What a step with these devices gets. Fails where a required one is not there. */
  async edits(requests: Requests): Promise<DeviceEdits> {
    const named = requests.map((request) => ({ ...request, name: this.#aliases.get(request.name) ?? request.name }));
    return deviceEdits(await this.#devices(), named, this.#directories);
  }

  #devices(): Promise<readonly CdiDevice[]> {
    return (this.#known ??= readCdiDevices(this.#directories, this.#options.onProblem));
  }
}
