/** Arguments of `npm run bench`. */
import { resolve } from 'node:path'
import { parseArguments as parse, usageError } from '../lib/cli/arguments.js'
import type { ArgumentsSpec } from '../lib/cli/options.js'
import { GROUPS, LEFT_OUT } from './plan.js'
import type { Group, PlanOptions } from './plan.js'

export interface BenchArguments extends PlanOptions {
  /** Fail if a ratio is worse than the stored baseline. */
  readonly check: boolean
  readonly updateBaseline: boolean
  /** Write the figures to docs/PERFORMANCE.md. */
  readonly updateDocs: boolean
  /** Program to measure; null: this checkout's. */
  readonly program: string | null
  /** Where to create the server's data directory; null: the system's temporary directory. */
  readonly dataDir: string | null
  /** Additional arguments of the program, after its defaults. */
  readonly programArguments: readonly string[]
}

const SPEC = {
  program: 'npm run bench --',
  summary: 'Measures throughput, latency and cost. Arguments after another -- go to orbitstream-ingest start.',
  options: [
    { name: 'quick', type: 'boolean', help: 'One short run of the most important measurements; one to two minutes.' },
    { name: 'full', type: 'boolean', help: 'Everything; well over an hour.' },
    {
      name: 'runs',
      type: 'integer',
      min: 1,
      help: 'Runs of each measurement.',
      note: 'default: 2; with --quick 1; with --full 5'
    },
    { name: 'seconds', type: 'number', min: 0.01, help: 'Length of a run.', note: 'default: depends on the mode' },
    {
      name: 'only',
      type: 'string',
      placeholder: 'a,b',
      help: `Groups to measure: ${GROUPS.join(', ')}.`,
      note: `default: with --full all, otherwise all but ${LEFT_OUT.default.join(', ')}; with --quick only part of each`
    },
    {
      name: 'data-dir',
      type: 'string',
      placeholder: 'path',
      help: 'Where the server keeps its data, on the disk to be measured.',
      note: 'default: the system\'s temporary directory'
    },
    {
      name: 'check',
      type: 'boolean',
      help: 'Fail if a ratio is worse than in benchmarks/baseline.json by more than 10% or its spread there, or was ' +
        'not ' +
        'measured although its group was.'
    },
    {
      name: 'update-baseline',
      type: 'boolean',
      help: 'Store the measured ratios in benchmarks/baseline.json.'
    },
    {
      name: 'update-docs',
      type: 'boolean',
      help: 'Write the figures to docs/PERFORMANCE.md; needs all groups in its table.'
    },
    { name: 'program', type: 'string', placeholder: 'path', help: 'Measure this orbitstream-ingest.' }
  ]
} as const satisfies ArgumentsSpec

export type ParsedArguments =
  | { readonly kind: 'run', readonly options: BenchArguments }
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

export function parseArguments (argv: readonly string[]): ParsedArguments {
  const end = argv.indexOf('--')
  const parsed = parse(SPEC, end < 0 ? argv : argv.slice(0, end))
  if (parsed.kind === 'exit') return parsed
  const { values } = parsed
  if (values.quick && values.full) return usageError(SPEC.program, ['--quick and --full are mutually exclusive'])
  const only = values.only?.split(',').map((name) => name.trim()) ?? null
  const wrong = only?.find((name) => !(GROUPS as readonly string[]).includes(name))
  if (wrong !== undefined) {
    return usageError(SPEC.program, [`--only: "${wrong}" is not a group; the groups are ${GROUPS.join(', ')}`])
  }
  const options: BenchArguments = {
    mode: values.quick ? 'quick' : values.full ? 'full' : 'default',
    runs: values.runs ?? null,
    seconds: values.seconds ?? null,
    check: values.check,
    updateBaseline: values['update-baseline'],
    updateDocs: values['update-docs'],
    only: only as Group[] | null,
    program: pathOf(values.program),
    dataDir: pathOf(values['data-dir']),
    programArguments: end < 0 ? [] : argv.slice(end + 1)
  }
  return { kind: 'run', options }
}

/** Absolute: the server runs in another directory. */
function pathOf (text: string | undefined): string | null {
  return text === undefined ? null : resolve(text)
}
