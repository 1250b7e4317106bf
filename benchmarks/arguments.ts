/** Arguments of `npm run bench`. */
import { resolve } from 'node:path'
import mri from 'mri'
import { GROUPS, LEFT_OUT } from './plan.js'
import type { Mode } from './plan.js'
import type { Group } from './result.js'

export interface BenchArguments {
  readonly mode: Mode
  /** Null: as the mode has it. */
  readonly runs: number | null
  readonly seconds: number | null
  /** Compare ratios with the stored baseline and fail on a fall. */
  readonly check: boolean
  readonly updateBaseline: boolean
  /** Write the table of figures into docs/PERFORMANCE.md. */
  readonly updateDocs: boolean
  /** Null: all groups of the mode. */
  readonly only: readonly Group[] | null
  /** The program to measure; null: that of this checkout. */
  readonly program: string | null
  /** Where the data directory of the server is made; null: in the system's temporary directory. */
  readonly dataDir: string | null
  /** Further arguments of the program, after its defaults. */
  readonly programArguments: readonly string[]
}

export const HELP = `Usage: npm run bench -- [options] [-- arguments of orbitstream-ingest start]

  --quick             one to two minutes: one short run of the most important
  --full              everything; well over an hour
  --runs N            runs of each measurement (2; --quick 1; --full 5)
  --seconds S         length of a run
  --only a,b          groups: ${GROUPS.join(', ')}
                      without it: all but ${LEFT_OUT.default.join(', ')}
                      --quick: all but ${LEFT_OUT.quick.join(', ')}, and of the others not all
                      --full: ${LEFT_OUT.full.length === 0 ? 'all' : `all but ${LEFT_OUT.full.join(', ')}`}
  --data-dir DIR      where the server keeps its data during the benchmark, on the disk
                      that is to be measured (the system's temporary directory)
  --check             fail if a ratio fell below benchmarks/baseline.json by more than 10%,
                      or than the spread that it had there, or was not measured though its group was
  --update-baseline   store the ratios that were measured in benchmarks/baseline.json
  --update-docs       write the figures into docs/PERFORMANCE.md; needs all groups that it holds
  --program PATH      measure this orbitstream-ingest
  --help`

const BOOLEANS = ['quick', 'full', 'check', 'update-baseline', 'update-docs', 'help']
const STRINGS = ['runs', 'seconds', 'only', 'data-dir', 'program']

export type ParsedArguments =
  | { readonly kind: 'run', readonly options: BenchArguments }
  | { readonly kind: 'help' }
  | { readonly kind: 'error', readonly message: string }

export function parseArguments (argv: readonly string[]): ParsedArguments {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  const values = mri([...own], { boolean: BOOLEANS, string: STRINGS })
  const unknown = Object.keys(values).find((name) => name !== '_' && !BOOLEANS.includes(name) && !STRINGS.includes(name))
  const stray = unknown === undefined ? values._[0] : `--${unknown}`
  if (stray !== undefined) return { kind: 'error', message: `${stray} is not known` }
  if (values['help'] === true) return { kind: 'help' }
  const blank = ['program', 'data-dir'].find((name) => values[name] === '')
  if (blank !== undefined) return { kind: 'error', message: `--${blank} needs a path` }
  if (values['quick'] === true && values['full'] === true) return { kind: 'error', message: '--quick and --full exclude each other' }
  const only = groupsOf(values['only'] as string | undefined)
  if (typeof only === 'string') return { kind: 'error', message: only }
  const runs = numberOf(values['runs'] as string | undefined)
  const seconds = numberOf(values['seconds'] as string | undefined)
  if (Number.isNaN(runs) || (runs !== null && !Number.isInteger(runs))) return { kind: 'error', message: '--runs must be a whole number from 1' }
  if (Number.isNaN(seconds)) return { kind: 'error', message: '--seconds must be a number above 0' }
  const options: BenchArguments = {
    mode: values['quick'] === true ? 'quick' : values['full'] === true ? 'full' : 'default',
    runs,
    seconds,
    check: values['check'] === true,
    updateBaseline: values['update-baseline'] === true,
    updateDocs: values['update-docs'] === true,
    only,
    program: pathOf(values['program']),
    dataDir: pathOf(values['data-dir']),
    programArguments: end < 0 ? [] : argv.slice(end + 1)
  }
  return { kind: 'run', options }
}

/** The server runs in another directory. */
function pathOf (text: unknown): string | null {
  return typeof text === 'string' ? resolve(text) : null
}

/** Null: not given. NaN: not a number above 0. */
function numberOf (text: string | undefined): number | null {
  if (text === undefined) return null
  const value = Number(text)
  return text !== '' && value > 0 && Number.isFinite(value) ? value : NaN
}

/** The groups, null for all, or what is wrong. */
function groupsOf (text: string | undefined): Group[] | null | string {
  if (text === undefined) return null
  const names = text.split(',').map((name) => name.trim())
  const wrong = names.find((name) => !(GROUPS as readonly string[]).includes(name))
  return wrong === undefined ? names as Group[] : `${wrong} is not a group; the groups are ${GROUPS.join(', ')}`
}
