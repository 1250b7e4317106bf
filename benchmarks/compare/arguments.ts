/** Arguments of the comparison with other endpoints. */
import { parseArguments, usageError } from '../../lib/cli/arguments.js'
import type { ArgumentsSpec } from '../../lib/cli/options.js'
import { POINT_NUMBER_MAX } from '../points.js'

export interface CompareArguments {
  /** One, or two to measure against each other. */
  readonly urls: readonly URL[]
  /** JSON array of points, as accepted by OrbitStream, or Influx line protocol. */
  readonly format: 'json' | 'line'
  readonly batch: number
  readonly seconds: number
  readonly runs: number
  readonly satellites: number
  readonly connections: number
  readonly headers: Readonly<Record<string, string>>
}

const SPEC = {
  program: 'node dist/benchmarks/compare/main.js',
  summary: 'Sends the benchmark load to another endpoint and to OrbitStream in turn, and prints the results and how ' +
    'the ' +
    'pairs compare.',
  options: [
    {
      name: 'other',
      type: 'string',
      placeholder: 'url',
      help: 'A second endpoint with the same format and headers, measured in turn with the first.'
    },
    {
      name: 'format',
      type: 'enum',
      values: ['json', 'line'],
      default: 'json',
      help: 'JSON array of points, or Influx line protocol with times in nanoseconds.'
    },
    { name: 'batch', type: 'integer', min: 1, default: 1000, help: 'Points per request.' },
    { name: 'seconds', type: 'number', min: 0.01, default: 5, help: 'Length of a run.' },
    { name: 'runs', type: 'integer', min: 1, default: 3, help: 'Runs of each endpoint.' },
    { name: 'satellites', type: 'integer', min: 1, default: 100, help: 'Number of satellites.' },
    { name: 'connections', type: 'integer', min: 1, default: 32, help: 'Number of connections.' },
    {
      name: 'header',
      type: 'texts',
      placeholder: 'text',
      help: "Additional header, such as 'Authorization: Token …'. May be repeated."
    },
    { name: 'alone', type: 'boolean', help: 'Do not measure OrbitStream.' }
  ],
  positionals: { usage: 'URL', min: 1, max: 1 },
  epilogue: 'URL is where to post points, with path and query:\n' +
    '  http://127.0.0.1:9000/telemetry/batch\n' +
    '  http://127.0.0.1:8086/api/v2/write?org=o&bucket=b'
} as const satisfies ArgumentsSpec

export type ParsedCompare =
  | { readonly kind: 'run', readonly options: CompareArguments, readonly alone: boolean }
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

/** Names of nanoseconds, the default precision, in databases that speak line protocol. */
const NANOSECONDS: ReadonlyArray<string | null> = [null, 'ns', 'n', 'nanosecond']

export function parseCompare (argv: readonly string[]): ParsedCompare {
  const parsed = parseArguments(SPEC, argv)
  if (parsed.kind === 'exit') return parsed
  const { other, header, alone, ...numbers } = parsed.values
  const addresses = [...parsed.positionals, ...other === undefined ? [] : [other]]
  const urls = addresses
    .flatMap((each) => URL.canParse(each) ? [new URL(each)] : [])
    .filter(({ protocol }) => protocol === 'http:')
  const headers = header.map((line) => /^([^:\s]+):\s*(.+)$/.exec(line))
  const problems = [
    ...urls.length < addresses.length ? [`${addresses.join(' or ')} is not an http URL`] : [],
    ...numbers.format === 'line' &&
      !urls.every(({ searchParams }) => NANOSECONDS.includes(searchParams.get('precision')))
      ? ['times are in nanoseconds: omit precision from the URL']
      : [],
    ...numbers.batch * numbers.connections > POINT_NUMBER_MAX + 1
      ? [`--batch times --connections must not exceed ${POINT_NUMBER_MAX + 1}`]
      : [],
    ...headers.includes(null) ? ["--header must be 'Name: value'"] : []
  ]
  if (problems.length > 0) return usageError(SPEC.program, problems)
  const pairs = headers.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? ''])
  return {
    kind: 'run',
    options: { urls, headers: Object.fromEntries(pairs) as Record<string, string>, ...numbers },
    alone
  }
}
