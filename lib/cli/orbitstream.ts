/** The program orbitstream: the commands of orbitstream-ingest and, after `sim`, those of orbitstream-sim. */
import { main as ingest } from './ingest.js'
import { main as simulator } from './sim.js'

const NAME = 'orbitstream'
const SIMULATOR = 'sim'

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words after the program's name
 */
export async function main (argv: readonly string[]): Promise<void> {
  if (argv[0] === SIMULATOR) await simulator(argv.slice(1), `${NAME} ${SIMULATOR}`)
  else await ingest(argv, { name: NAME, others: [[SIMULATOR, 'Send the telemetry of a simulated satellite fleet.']] })
}
