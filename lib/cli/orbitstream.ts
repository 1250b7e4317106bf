/** The program orbitstream: the commands of orbitstream-ingest and, after `sim`, those of orbitstream-sim. */

const NAME = 'orbitstream'
const SIMULATOR = 'sim'

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words after the program's name
 */
export async function main (argv: readonly string[]): Promise<void> {
  // Each loads much that the other does not need.
  if (argv[0] === SIMULATOR) {
    const { main } = await import('./sim.js')
    await main(argv.slice(1), `${NAME} ${SIMULATOR}`)
    return
  }
  const { main } = await import('./ingest.js')
  await main(argv, { name: NAME, others: [[SIMULATOR, 'Send the telemetry of a simulated satellite fleet.']] })
}
