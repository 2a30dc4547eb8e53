import { defineConfig } from "vitest/config"

// Test files run in two processes, as many as the smallest machine we care for has cores. The
// limits are for hangs only; nothing is timed in tests.
// eslint-disable-next-line import/no-default-export -- the runner asks for it
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["verbose"],
  },
})
