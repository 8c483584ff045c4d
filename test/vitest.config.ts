import { defineConfig, type ViteUserConfig } from "vitest/config";

const project = (name: string, options: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    environment: "node" as const,
    setupFiles: "test/setup/seed.ts",
    ...options,
  },
});

const config: ViteUserConfig = defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    projects: [
      project("unit", { pool: "threads", isolate: false, testTimeout: 30_000 }),
      // These mount, start servers and share the machine's kernel objects: one file at a time, each in a process of its own.
      project("integration", { pool: "forks", fileParallelism: false, testTimeout: 120_000, hookTimeout: 300_000 }),
      project("conformance", { pool: "forks", fileParallelism: false, testTimeout: 300_000, hookTimeout: 600_000 }),
    ],
  },
});
export default config;
