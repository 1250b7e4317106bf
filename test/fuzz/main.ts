/**
 * Hostile input for any length of time, or an honest client beside attackers:
 *
 *   npm run test:fuzz -- --minutes 15 --seed 7
 *   npm run test:fuzz -- --bodies 1000000 --packets 1000000 --raw 200000 --forged 1000000
 *   npm run test:fuzz -- --attacks 10          seconds per attack
 *
 * Minutes and counts are for both engines together. Exit code 0: no faults.
 */
import { parseArguments } from '../../lib/cli/arguments.js'
import type { ArgumentsSpec, OptionValues } from '../../lib/cli/options.js'
import { end, STANDARD_OUTPUT } from '../../lib/cli/output.js'
import { ScriptOwner } from '../support/owner.js'
import { fuzz } from './fuzz.js'
import { siege } from './siege.js'

/** Per request or packet, on an idle machine. */
const CPU_MS_MAX = 100
const ENGINES = ['uws', 'node'] as const
const count = { type: 'integer', min: 0, note: 'default: 1000000, raw 200000; with --minutes, no limit' } as const
const SPEC = {
  program: 'npm run test:fuzz --',
  summary: 'Hostile input, or an honest client beside attackers. Minutes and counts are for both engines together.',
  options: [
    { name: 'attacks', type: 'number', min: 0.1, help: 'Attack for this many seconds each, instead of fuzzing.' },
    { name: 'minutes', type: 'number', min: 0.01, help: 'How long.', note: 'default: as long as the counts take' },
    { name: 'seed', type: 'integer', min: 0, help: 'Repeats a run.', note: 'default: random' },
    { name: 'bodies', ...count, help: 'Bodies to send.' },
    { name: 'packets', ...count, help: 'Packets to send.' },
    { name: 'raw', ...count, help: 'Raw requests to send.' },
    { name: 'forged', ...count, help: 'Forged packets to send.' },
    { name: 'cpu', type: 'number', min: 1, default: CPU_MS_MAX, help: 'Milliseconds that an input may cost.' }
  ]
} as const satisfies ArgumentsSpec
/** Without minutes or a count of their own. */
const COUNTS = { bodies: 1_000_000, packets: 1_000_000, raw: 200_000, forged: 1_000_000 } as const

const print = (line: string): void => { process.stdout.write(`${line}\n`) }

async function run (values: OptionValues<typeof SPEC.options>): Promise<number> {
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31)
  const share = (name: keyof typeof COUNTS): number => (
    Math.ceil((values[name] ?? (values.minutes === undefined ? COUNTS[name] : Infinity)) / ENGINES.length))
  const counts = { bodies: share('bodies'), packets: share('packets'), raw: share('raw'), forged: share('forged') }
  const minutes = (values.minutes ?? Infinity) / ENGINES.length
  const faults: string[] = []
  for (const engine of ENGINES) {
    const owner = new ScriptOwner()
    try {
      faults.push(...values.attacks === undefined
        ? await fuzz(owner, { engine, seed, minutes, ...counts, cpuMsMax: values.cpu, print })
        : await siege(owner, { engine, seconds: values.attacks, print }))
    } finally {
      await owner.end()
    }
  }
  for (const fault of faults) print(`WRONG: ${fault}`)
  print(faults.length === 0 ? 'passed' : 'FAILED')
  return faults.length === 0 ? 0 : 1
}

const parsed = parseArguments(SPEC, process.argv.slice(2))
process.exitCode = parsed.kind === 'exit' ? end(parsed, STANDARD_OUTPUT) : await run(parsed.values)
