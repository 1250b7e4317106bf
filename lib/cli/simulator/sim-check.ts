/** `orbitstream-sim check FILE`: did the server detect exactly the anomalies that a run injected? */
import { setTimeout as wait } from 'node:timers/promises'
import { compare, fetchAnomalies, type Comparison } from '../../sim/anomaly-check.js'
import { readTruth, type TrueAnomaly } from '../../sim/fleet/truth.js'
import { formatCount } from '../../config/setting-types.js'
import { parseArguments, usageError } from '../arguments.js'
import { describeFailure } from '../failure.js'
import { end, type Output } from '../output.js'
import { ADMISSION_OPTIONS, API_URL_OPTION, readServer, type Server } from './sim-server.js'

export const CHECK_COMMAND = 'check'

const SPEC = {
  summary: 'Compares the anomalies that a run injected (--truth FILE) with those that the server detected.',
  options: [
    API_URL_OPTION,
    ...ADMISSION_OPTIONS,
    {
      name: 'wait',
      type: 'duration',
      bareUnit: 's',
      min: 0,
      default: '10s',
      help: 'How long to wait for anomalies that are not stored yet.'
    },
    { name: 'json', type: 'boolean', help: 'Print the comparison as JSON, including every missed and false anomaly.' }
  ],
  positionals: { usage: 'FILE', min: 1, max: 1 },
  epilogue: 'The server must use its default limits, and nothing else may send points during the run.\n' +
    'Exit codes: 0 if no anomaly is missed or false; 1 if any is, or they could not be compared; ' +
    '2 if the command line is invalid.'
} as const

const ASK_AGAIN_MS = 250
/** Examples in the text output; JSON has all. */
const EXAMPLES_MAX = 5

/**
 * @param simulator name of the program that it is a command of
 * @returns the exit code
 */
export async function check (argv: readonly string[], simulator: string, output: Output): Promise<number> {
  const program = `${simulator} ${CHECK_COMMAND}`
  const parsed = parseArguments({ ...SPEC, program }, argv)
  if (parsed.kind === 'exit') return end(parsed, output)
  const server = readServer(parsed.values)
  if (typeof server === 'string') return end(usageError(program, [server]), output)
  try {
    const truth = await readTruth(parsed.positionals[0] ?? '')
    const comparison = await settledComparison(truth, server, parsed.values.wait)
    output.print(parsed.values.json ? JSON.stringify(comparison) : describe(comparison))
    return comparison.missed.length + comparison.false.length === 0 ? 0 : 1
  } catch (error) {
    output.complain(describeFailure(error))
    return 1
  }
}

/** Polls until nothing is missed, or the time is up. */
async function settledComparison (
  truth: readonly TrueAnomaly[],
  server: Server,
  waitMs: number
): Promise<Comparison> {
  const times = truth.map(({ time }) => Date.parse(time))
  const [firstMs, lastMs] = times.reduce(([first, last], time) =>
    [Math.min(first, time), Math.max(last, time)], [Infinity, -Infinity])
  if (firstMs > lastMs) return { found: 0, missed: [], false: [] }
  const deadlineMs = performance.now() + waitMs
  for (;;) {
    const comparison = compare(truth, await fetchAnomalies(server.url, server.token, firstMs, lastMs))
    if (comparison.missed.length === 0 || performance.now() + ASK_AGAIN_MS > deadlineMs) return comparison
    await wait(ASK_AGAIN_MS)
  }
}

function describe ({ found, missed, false: surplus }: Comparison): string {
  const example = (kind: string) => (anomaly: TrueAnomaly): string =>
    `  ${kind}: ${anomaly.satellite_id} ${anomaly.metric} ${anomaly.time} ${anomaly.value}`
  return [
    `found ${formatCount(found)}, missed ${formatCount(missed.length)}, false ${formatCount(surplus.length)}`,
    ...missed.slice(0, EXAMPLES_MAX).map(example('missed')),
    ...surplus.slice(0, EXAMPLES_MAX).map(example('false'))
  ].join('\n')
}
