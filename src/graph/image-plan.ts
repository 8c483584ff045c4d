// What the plan says about the image to come. The layers are the solver's; the config is the frontend's.
import type { ContainerConfig, HistoryEntry, ImageConfig } from "../oci/image.ts";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import type { Graph } from "./graph.ts";

/** A history entry that this build adds. */
export interface PlannedHistory {
  readonly createdBy: string;
  /** The vertex whose layer it describes; undefined = `empty_layer`. */
  readonly vertex?: Digest;
  readonly comment: string;
}

/** A base image as the plan saw it. */
export interface BaseImage {
  readonly config: ImageConfig;
  readonly vertex: Digest;
}

export interface ImagePlan {
  readonly graph: Graph;
  /** The vertex whose rootfs becomes the image; undefined = no layers at all. */
  readonly target: Digest | undefined;
  readonly platform: Platform;
  readonly config: ContainerConfig;
  readonly author?: string;
  /** The image at the bottom of the target's FROM chain; undefined = scratch. */
  readonly base: BaseImage | undefined;
  /** History of the base, untouched. */
  readonly baseHistory: readonly HistoryEntry[];
  /** History that this build adds, in order, over all stages of the target's FROM chain. */
  readonly history: readonly PlannedHistory[];
  /** Seconds since the epoch, from SOURCE_DATE_EPOCH. */
  readonly epoch?: number;
}
