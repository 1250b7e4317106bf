/** Arguments of the comparison with other endpoints. */
import mri from 'mri'

export interface CompareArguments {
  /** One, or two that are measured against each other. */
  readonly urls: readonly URL[]
  /** JSON array of points, as OrbitStream takes it, or Influx line protocol. */
  readonly format: 'json' | 'line'
  readonly batch: number
  readonly seconds: number
  readonly runs: number
  readonly satellites: number
  readonly connections: number
  readonly headers: Readonly<Record<string, string>>
}

export const COMPARE_HELP = `Usage: node dist/benchmarks/compare/main.js URL [options]

Sends the load of the benchmarks to another endpoint and to OrbitStream in turn, and prints what came of it, and how the
pairs compare.
  URL                 where points are posted, path and query included:
                      http://127.0.0.1:9000/telemetry/batch
                      http://127.0.0.1:8086/api/v2/write?org=o&bucket=b
  --other URL         a second endpoint, in turn with the first, that takes the same format and headers
  --format json|line  an array of points, or Influx line protocol with times in nanoseconds (json)
  --batch N           points a request (1000)
  --seconds S         length of a run (5)
  --runs N            (3)
  --satellites N      (100)
  --connections N     (32)
  --header 'Name: value'  once or several times, such as 'Authorization: Token …'
  --alone             do not start OrbitStream for comparison`

export type ParsedCompare =
  | { readonly kind: 'run', readonly options: CompareArguments, readonly alone: boolean }
  | { readonly kind: 'help' }
  | { readonly kind: 'error', readonly message: string }

const STRINGS = ['other', 'format', 'batch', 'seconds', 'runs', 'satellites', 'connections', 'header']
const BOOLEANS = ['alone', 'help']
const POINTS_MAX = 190_000
/** As the databases that speak line protocol call what they take without a word. */
const NANOSECONDS: ReadonlyArray<string | null> = [null, 'ns', 'n', 'nanosecond']

function positive (value: unknown, fallback: number): number {
  const number = value === undefined ? fallback : Number(value)
  return Number.isFinite(number) && number > 0 ? number : NaN
}

export function parseCompare (argv: readonly string[]): ParsedCompare {
  const values = mri([...argv], { string: STRINGS, boolean: BOOLEANS }) as Record<string, unknown> & { _: string[] }
  if (values['help'] === true) return { kind: 'help' }
  const unknown = Object.keys(values).find((name) => name !== '_' && !STRINGS.includes(name) && !BOOLEANS.includes(name))
  if (unknown !== undefined) return { kind: 'error', message: `--${unknown} is not known` }
  const [address, ...stray] = values._
  if (address === undefined || stray.length > 0) return { kind: 'error', message: 'exactly one URL is needed' }
  const addresses = values['other'] === undefined ? [address] : [address, values['other'] as string]
  const urls = addresses.flatMap((each) => URL.canParse(each) ? [new URL(each)] : []).filter(({ protocol }) => protocol === 'http:')
  if (urls.length < addresses.length) return { kind: 'error', message: `${addresses.join(' or ')} is not an http URL` }
  const format = values['format'] ?? 'json'
  if (format !== 'json' && format !== 'line') return { kind: 'error', message: '--format must be json or line' }
  if (format === 'line' && !urls.every((url) => NANOSECONDS.includes(url.searchParams.get('precision')))) return { kind: 'error', message: 'times are in nanoseconds: leave precision out of the URL' }
  const numbers = { batch: positive(values['batch'], 1000), seconds: positive(values['seconds'], 5), runs: positive(values['runs'], 3), satellites: positive(values['satellites'], 100), connections: positive(values['connections'], 32) }
  const wrong = Object.entries(numbers).find(([name, value]) => Number.isNaN(value) || (name !== 'seconds' && !Number.isInteger(value)))
  if (wrong !== undefined) return { kind: 'error', message: `--${wrong[0]} must be a whole number from 1` }
  if (numbers.batch * numbers.connections > POINTS_MAX) return { kind: 'error', message: `--batch times --connections must be ${POINTS_MAX} at most` }
  const headers = headersOf(values['header'])
  if (headers === null) return { kind: 'error', message: "--header must be 'Name: value'" }
  return { kind: 'run', options: { urls, format, headers, ...numbers }, alone: values['alone'] === true }
}

function headersOf (given: unknown): Record<string, string> | null {
  const lines = given === undefined ? [] : [given].flat().map(String)
  const pairs = lines.map((line) => /^([^:\s]+):\s*(.+)$/.exec(line))
  return pairs.includes(null) ? null : Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? '']))
}
