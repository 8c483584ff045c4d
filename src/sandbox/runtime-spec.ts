// The part of the OCI runtime specification (config.json) that a step uses: types only.

export interface SpecUser {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  readonly additionalGids: readonly number[];
}

export interface SpecCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly inheritable: readonly string[];
  readonly permitted: readonly string[];
  readonly ambient: readonly string[];
}

export interface SpecRlimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface SpecDevice {
  readonly path: string;
  readonly type: "b" | "c" | "u" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SpecDeviceRule {
  readonly allow: boolean;
  readonly access: string;
  readonly type?: "a" | "b" | "c";
  readonly major?: number;
  readonly minor?: number;
}

export interface SpecHook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

export interface SpecResources {
  readonly devices?: readonly SpecDeviceRule[];
  readonly memory?: { readonly limit?: number; readonly swap?: number };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
}

export interface SeccompArg {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_LT" | "SCMP_CMP_MASKED_EQ";
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
}

export interface SpecSeccomp {
  readonly defaultAction: "SCMP_ACT_ERRNO";
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

export interface SpecNamespace {
  readonly type: "pid" | "ipc" | "uts" | "mount" | "network" | "cgroup";
  readonly path?: string;
}

export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: {
    readonly terminal: false;
    readonly user: SpecUser;
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly capabilities: SpecCapabilities;
    readonly rlimits: readonly SpecRlimit[];
    readonly noNewPrivileges: false;
  };
  readonly root: { readonly path: string; readonly readonly: false };
  readonly hostname: string;
  readonly mounts: readonly SpecMount[];
  /** By when they run: `createRuntime`, `createContainer`, … */
  readonly hooks?: Readonly<Record<string, readonly SpecHook[]>>;
  readonly linux: {
    readonly namespaces: readonly SpecNamespace[];
    readonly devices?: readonly SpecDevice[];
    readonly resources?: SpecResources;
    readonly cgroupsPath?: string;
    readonly seccomp?: SpecSeccomp;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
  };
}
