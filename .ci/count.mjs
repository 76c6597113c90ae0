// Prints "N passed, N failed" from a vitest JSON report; fails when a test failed, none ran, or there is no report.
import { readFileSync } from 'node:fs';

let passed = 0;
let failed = 0;
try {
  const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  passed = report.numPassedTests;
  // A file that could not even be loaded has no tests in it, but is a failure all the same.
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  failed = report.numFailedTests + report.numPendingTests + broken.length;
  if (!report.success && failed === 0) failed = 1;
} catch (error) {
  console.log(`no test report: ${error.message}`);
  failed = 1;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
