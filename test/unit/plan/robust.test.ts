// No text makes the planner throw anything but the resolver's failure, or hang.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import { parseDockerfile } from "../../../src/frontend/parser.ts";
import { planImage } from "../../../src/plan/plan.ts";
import { planOptions } from "./rig.ts";

const word = fc.oneof(
  fc.constantFrom(
    "a",
    "b",
    "/",
    ".",
    "$A",
    "${A:-b}",
    "${",
    "'x",
    "http://h/a",
    "git@h:r",
    "0",
    "busybox",
    "a=b",
    "<<E",
    "[]",
  ),
  fc.string({ maxLength: 4 }),
);
const flag = fc.constantFrom(
  "",
  "--from=a ",
  "--from=0 ",
  "--from=$A ",
  "--link ",
  "--chmod=7 ",
  "--checksum=x ",
  "--mount=target=$A ",
  "--mount=type=secret,id=$A ",
  "--mount=from=b,target=/x ",
  "--platform=$A ",
  "--network=none ",
);
const keyword = fc.constantFrom(
  ..."ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR FROM".split(
    " ",
  ),
);
const line = fc
  .tuple(keyword, flag, fc.array(word, { maxLength: 3 }))
  .map(([name, flags, words]) => `${name} ${flags}${words.join(" ")}`);
const file = fc
  .tuple(fc.array(line, { maxLength: 8 }), fc.constantFrom("", " AS a", " AS b"))
  .map(([lines, name]) => ["ARG A=a", `FROM busybox${name}`, ...lines, "FROM busybox AS b", ...lines].join("\n"));

test("any Dockerfile gives a plan or says why not", async () => {
  await fc.assert(
    fc.asyncProperty(file, async (text) => {
      const { dockerfile } = parseDockerfile({ path: "Dockerfile", text });
      const result = await planImage(dockerfile, planOptions()).catch((error: unknown) => error);
      if (result instanceof BuildError) {
        expect(result.span).toBeDefined();
        return;
      }
      expect(result).not.toBeInstanceOf(Error);
      const { plan, diagnostics } = result as Awaited<ReturnType<typeof planImage>>;
      const errors = diagnostics.filter(({ severity }) => severity === "error");
      if (!plan && dockerfile.stages.length > 0) expect(errors).not.toEqual([]);
      if (plan) expect(errors).toEqual([]);
    }),
    { numRuns: 400 },
  );
});
