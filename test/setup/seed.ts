// Properties draw the same cases in every run, so that a change is judged by its own merits; FAST_CHECK_SEED=… draws others.
import * as fc from "fast-check";

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env["FAST_CHECK_SEED"] ?? 1) });
