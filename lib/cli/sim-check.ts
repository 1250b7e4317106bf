/** `orbitstream-sim check FILE`: were the anomalies of a run found, all of them and no others? */
import { setTimeout as wait } from 'node:timers/promises'
import { compare, fetchAnomalies, type Comparison } from '../sim/check.js'
import { count } from '../sim/summary.js'
import { readTruth, type TrueAnomaly } from '../sim/fleet/truth.js'
import { TOKEN_VARIABLE } from '../config/config.js'
import { url as urlType } from '../config/value-types.js'
import { parseArguments, usageError } from './arguments.js'
import { describeFailure } from './failure.js'
import { readToken } from './sim-token.js'

export const CHECK_COMMAND = 'check'

interface Output {
  readonly print: (text: string) => void
  readonly complain: (text: string) => void
}

const SPEC = {
  program: `orbitstream-sim ${CHECK_COMMAND}`,
  summary: 'Compares the anomalies that a run put in (--truth FILE) with those that the server has.',
  options: [
    { name: 'api-url', type: 'string', placeholder: 'url', default: 'http://127.0.0.1:8080', help: 'Address of the server.' },
    { name: 'token', type: 'string', help: 'Token for a server that asks for one; others on this machine see it, unlike the file.' },
    { name: 'token-file', type: 'string', placeholder: 'file', help: 'File whose first line is the token.', note: `default: the variable ${TOKEN_VARIABLE}` },
    { name: 'wait', type: 'duration', bareUnit: 's', min: 0, default: '10s', help: 'How long to wait for anomalies that are not in the database yet.' },
    { name: 'json', type: 'boolean', help: 'Print the comparison as JSON, with every anomaly that is missed or false.' }
  ],
  positionals: { usage: 'FILE', min: 1, max: 1 },
  epilogue: 'The server must judge by its default limits, and nobody else may send points in the time of the run.\n' +
    'Exit code: 0 if none is missed and none is false, 1 if some are, 2 if the command line is not understood.'
} as const

const ASK_AGAIN_MS = 250
/** Named for people; JSON has them all. */
const EXAMPLES_MAX = 5

/** @returns the exit code */
export async function check (argv: readonly string[], output: Output): Promise<number> {
  const parsed = parseArguments(SPEC, argv)
  if (parsed.kind === 'exit') return end(parsed, output)
  const url = urlType(['http', 'https']).parse(parsed.values['api-url'])
  if (!url.ok) return end(usageError(SPEC.program, [`--api-url: ${url.message}`]), output)
  const read = readToken(parsed.values.token, parsed.values['token-file'], process.env[TOKEN_VARIABLE])
  if ('problem' in read) return end(usageError(SPEC.program, [read.problem]), output)
  try {
    const truth = await readTruth(parsed.positionals[0] ?? '')
    const comparison = await settledComparison(truth, new URL(url.value), read.token, parsed.values.wait)
    output.print(parsed.values.json ? JSON.stringify(comparison) : describe(comparison))
    return comparison.missed.length + comparison.false.length === 0 ? 0 : 1
  } catch (error) {
    output.complain(describeFailure(error))
    return 1
  }
}

function end ({ exitCode, text }: { readonly exitCode: number, readonly text: string }, { print, complain }: Output): number {
  (exitCode === 0 ? print : complain)(text)
  return exitCode
}

/** Asks until nothing is missed, or the time is up. */
async function settledComparison (truth: readonly TrueAnomaly[], url: URL, token: string | null, waitMs: number): Promise<Comparison> {
  const times = truth.map(({ time }) => Date.parse(time))
  const [firstMs, lastMs] = times.reduce(([first, last], time) => [Math.min(first, time), Math.max(last, time)], [Infinity, -Infinity])
  if (firstMs > lastMs) return { found: 0, missed: [], false: [] }
  const deadlineMs = performance.now() + waitMs
  for (;;) {
    const comparison = compare(truth, await fetchAnomalies(url, token, firstMs, lastMs))
    if (comparison.missed.length === 0 || performance.now() + ASK_AGAIN_MS > deadlineMs) return comparison
    await wait(ASK_AGAIN_MS)
  }
}

function describe ({ found, missed, false: surplus }: Comparison): string {
  const example = (kind: string) => (anomaly: TrueAnomaly): string => `  ${kind}: ${anomaly.satellite_id} ${anomaly.metric} ${anomaly.time} ${anomaly.value}`
  return [
    `found ${count(found)}, missed ${count(missed.length)}, false ${count(surplus.length)}`,
    ...missed.slice(0, EXAMPLES_MAX).map(example('missed')),
    ...surplus.slice(0, EXAMPLES_MAX).map(example('false'))
  ].join('\n')
}
