/** The process. What it is made of takes a moment to load, and a SIGHUP in that moment is not to end it. */
process.on('SIGHUP', () => {});
const { runCommand } = await import('./commands.ts');
await runCommand(process.env);
