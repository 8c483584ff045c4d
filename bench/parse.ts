// How long the parser takes for 10,000 lines, in milliseconds of this thread's processor time: node bench/parse.ts
import { parseDockerfile } from "../src/frontend/parser.ts";

const BLOCK = `RUN --mount=type=cache,target=/x echo a \\
  && echo b
ENV a=b c="d e"
COPY --from=b a /b
WORKDIR /x
# comment
LABEL a=b
CMD ["a", "b"]

`;

for (const lines of [1000, 10_000, 100_000]) {
  const text = `FROM a AS b\n${BLOCK.repeat(Math.ceil(lines / 9))}`;
  const parse = (times: number): number => {
    const before = process.threadCpuUsage();
    for (let i = 0; i < times; i++) parseDockerfile({ path: "Dockerfile", text });
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000 / times;
  };
  const first = parse(1);
  console.log(`${lines} lines: ${parse(400_000 / lines).toFixed(1)} ms, the first time ${first.toFixed(0)} ms`);
}
