import { defineConfig } from 'vitest/config';

// Two projects: what runs the built program (and mounts) needs dist and leaves nothing mounted; the rest needs neither.
const BUILT = [
  'test/mount/**/*.test.ts',
  'test/cli/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'test/engine/**/*.test.ts',
  'test/image/**/*.test.ts',
];
// Against hangs, never a measure: a machine under load may be many times slower than an idle one.
const common = { pool: 'forks', setupFiles: 'test/seed.ts', testTimeout: 300_000, hookTimeout: 300_000 } as const;

export default defineConfig({
  test: {
    maxWorkers: 3,
    projects: [
      { test: { ...common, name: 'rooms', include: ['test/**/*.test.ts'], exclude: [...BUILT, 'test/bench/**'] } },
      { test: { ...common, name: 'built', include: BUILT, exclude: ['test/bench/**'], globalSetup: 'test/global-setup.ts' } },
    ],
  },
});
