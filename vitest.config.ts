import { defineConfig } from 'vitest/config';

const report = process.env['TEST_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/kit/global-setup.ts'],
    // On two cores: the journeys wait for real time as much as they work, and one more fills the gaps.
    maxWorkers: 3,
    // Journeys with real servers run on real time: one more try where a busy machine stood still in the middle of one.
    retry: 1,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    reporters: report ? ['default', 'json'] : ['default'],
    ...(report ? { outputFile: { json: report } } : {}),
  },
});
