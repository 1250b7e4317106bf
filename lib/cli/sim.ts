/**
 * The program orbitstream-sim: reads its command line, waits for the server, and runs the simulation.
 *
 * Progress and problems go to standard error, the summary to standard output. Exit codes: 0 at least 99% of the points
 * were accepted; 1 fewer, none, or no server; 2 invalid command line.
 */
import { fetchCatalogue } from './simulator/sim-catalogue.js'
import { randomInt } from 'node:crypto'
import { hostname } from 'node:os'
import { SENDER_CHARACTERS_MAX } from '../../protocol/packet/packet.js'
import { TruthFile } from '../sim/fleet/truth.js'
import { waitForServer } from '../sim/server-check.js'
import { simulate, type SimulationOptions, type UdpOptions } from '../sim/simulate.js'
import { describeCause, summaryText, verdictText } from '../sim/summary.js'
import { formatCount, url as urlType } from '../config/setting-types.js'
import { parseArguments, usageError } from './arguments.js'
import type { OptionValues } from './options.js'
import { describeFailure } from './failure.js'
import { end, STANDARD_OUTPUT, tolerateLostReaders } from './output.js'
import { onSignals } from './signals.js'
import { CHECK_COMMAND, check } from './simulator/sim-check.js'
import { ADMISSION_OPTIONS, API_URL_OPTION, readServer } from './simulator/sim-server.js'
import { readSecret } from './simulator/sim-secret.js'
import { UDP_KEY, UDP_KEY_OPTIONS } from './simulator/sim-udp-key.js'

const { print, complain } = STANDARD_OUTPUT
/** As typed; `orbitstream sim` is the same program. */
const PROGRAM = 'orbitstream-sim'
const SERVER_WAIT_MS = 2_000
const SEED_MAX = 2 ** 32 - 1
/** The server's default. */
const UDP_PORT = 8081

const SPEC = {
  summary:
    'Sends the telemetry of a simulated satellite fleet to an OrbitStream server, at a rate independent of its ' +
      'responses.',
  options: [
    {
      name: 'satellites',
      alias: 's',
      type: 'integer',
      default: 100,
      min: 1,
      max: 1_000_000,
      help: 'Number of satellites: SAT-0001, SAT-0002, …'
    },
    {
      name: 'rate',
      alias: 'r',
      type: 'number',
      default: 100,
      min: 0.001,
      max: 1_000_000,
      help: 'Points per second per satellite; above 1,000 messages a second it ramps up within seconds.'
    },
    API_URL_OPTION,
    { name: 'transport', type: 'enum', values: ['http', 'udp'], default: 'http', help: 'Transport for points.' },
    {
      name: 'duration',
      alias: 'd',
      type: 'duration',
      bareUnit: 's',
      min: 0,
      default: '60s',
      help: 'How long to send; a bare number is seconds, 0 means until stopped.'
    },
    {
      name: 'anomaly-rate',
      type: 'number',
      default: 0.01,
      min: 0,
      max: 1,
      help: 'Share of points with a value beyond its limit, 0 to 1.'
    },
    {
      name: 'batch-size',
      type: 'integer',
      default: 1,
      min: 1,
      max: 10_000,
      help: 'Points per HTTP request; an incomplete batch is sent after one second.'
    },
    {
      name: 'format',
      type: 'enum',
      values: ['json', 'msgpack'],
      help: 'Body format over HTTP.',
      note: 'default: json; UDP always uses msgpack'
    },
    {
      name: 'udp-url',
      type: 'string',
      placeholder: 'url',
      help: 'Address to send packets to: udp://host:port.',
      note: 'default: port 8081 of the server'
    },
    {
      name: 'points-per-packet',
      type: 'integer',
      min: 1,
      max: 1_000,
      help: 'Points per UDP packet.',
      note: 'default: 25, or as many as fit into 1,400 bytes'
    },
    {
      name: 'sender',
      type: 'string',
      placeholder: 'name',
      help: 'Sender name for the server\'s packet accounting; must be unique among concurrent simulators.',
      note: 'default: unique to this process'
    },
    ...UDP_KEY_OPTIONS,
    {
      name: 'seed',
      type: 'integer',
      min: 0,
      max: SEED_MAX,
      help: 'Random seed; the same seed repeats the values of a run.',
      note: 'default: random, printed at the start'
    },
    {
      name: 'connections',
      type: 'integer',
      default: 500,
      min: 1,
      max: 10_000,
      help: 'Maximum number of HTTP connections, opened as needed.'
    },
    ...ADMISSION_OPTIONS,
    {
      name: 'truth',
      type: 'string',
      placeholder: 'file',
      help: 'Write every injected anomaly to this file, for "orbitstream-sim check".'
    },
    { name: 'json', type: 'boolean', help: 'Print the summary as JSON.' }
  ],
  epilogue: 'orbitstream-sim check FILE compares a --truth file with the anomalies that the server detected.\n' +
    'UDP has no responses: at the end of a run the server at --api-url is asked how many packets arrived.\n' +
    'Nothing is resent: a refused point counts as failed, even if the server asks the sender to wait (Retry-After).\n' +
    'While 2,000 requests or 400,000 points are unanswered, further points are skipped and count as not accepted.\n' +
    'Exit codes: 0 if at least 99% of the points were accepted; 1 if fewer or none were, or no server answered; 2 if ' +
    'the command line is invalid.'
} as const

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words after the program's name
 */
export async function main (argv: readonly string[], program = PROGRAM): Promise<void> {
  tolerateLostReaders()
  try {
    process.exitCode = argv[0] === CHECK_COMMAND
      ? await check(argv.slice(1), program, STANDARD_OUTPUT)
      : await run(argv, program)
  } catch (error) {
    complain(describeFailure(error))
    process.exitCode = 1
  }
}

async function run (argv: readonly string[], program: string): Promise<number> {
  const parsed = readArguments(argv, program)
  if (parsed.kind === 'exit') return end(parsed, STANDARD_OUTPUT)
  const abort = new AbortController()
  const signals = onSignals(complain, () => abort.abort())
  try {
    return await runSimulation(parsed, abort.signal)
  } finally {
    signals.release()
  }
}

/** What a command line says; the catalogue comes from the server. */
type RunOptions = Omit<SimulationOptions, 'catalogue' | 'truth'>

interface Plan {
  readonly options: RunOptions
  /** Path; null: none. */
  readonly truthFile: string | null
  readonly json: boolean
}

type Arguments =
  | { readonly kind: 'run' } & Plan
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

function readArguments (argv: readonly string[], program: string): Arguments {
  const parsed = parseArguments({ ...SPEC, program }, argv)
  if (parsed.kind === 'exit') return parsed
  const { values } = parsed
  const server = readServer(values)
  if (typeof server === 'string') return usageError(program, [server])
  const udp = readUdp(values, server.url)
  if (typeof udp === 'string') return usageError(program, [udp])
  const options: RunOptions = {
    ...server,
    satellites: values.satellites,
    rate: values.rate,
    durationMs: values.duration,
    anomalyRate: values['anomaly-rate'],
    batchSize: values['batch-size'],
    format: values.format ?? 'json',
    seed: values.seed ?? randomInt(SEED_MAX),
    connectionsMax: values.connections,
    udp
  }
  return { kind: 'run', options, truthFile: values.truth ?? null, json: values.json }
}

/** Null: HTTP. A text: what is wrong. */
function readUdp (values: OptionValues<typeof SPEC.options>, apiUrl: URL): UdpOptions | null | string {
  const {
    transport, format, sender = defaultSender(), 'udp-url': udpUrl, 'points-per-packet': pointsPerPacket = null
  } = values
  if (transport === 'http') {
    const names = ['udp-url', 'points-per-packet', 'sender', 'udp-key', 'udp-key-file'] as const
    const stray = names.find(name => values[name] !== undefined)
    return stray === undefined ? null : `--${stray} needs --transport udp`
  }
  if (format === 'json') return '--format json needs --transport http: UDP packets are msgpack'
  if (values['batch-size'] > 1) return '--batch-size needs --transport http: use --points-per-packet'
  if (sender.length > SENDER_CHARACTERS_MAX) return `--sender: at most ${SENDER_CHARACTERS_MAX} characters are allowed`
  const url = urlType(['udp']).parse(udpUrl ?? `udp://${apiUrl.hostname}:${UDP_PORT}`)
  if (!url.ok) return `--udp-url: ${url.message}`
  if (!(Number(new URL(url.value).port) > 0)) return '--udp-url: needs a port, as in udp://127.0.0.1:8081'
  const key = readSecret(UDP_KEY, values['udp-key'], values['udp-key-file'])
  return 'problem' in key ? key.problem : { udpUrl: new URL(url.value), pointsPerPacket, sender, key: key.text }
}

function defaultSender (): string {
  return `sim-${hostname().replace(/[^\w.-]/g, '').slice(0, 16)}-${process.pid}`
}

async function runSimulation ({ options, truthFile, json }: Plan, stop: AbortSignal): Promise<number> {
  const missing = await waitForServer(options.url, SERVER_WAIT_MS, stop)
  if (missing !== null) {
    complain(`error: no server answers at ${options.url.origin}: ${describeCause(missing)}.\n` +
      'Start one with "orbitstream-ingest start", or set its address with --api-url.')
    return 1
  }
  const catalogue = await fetchCatalogue(options.url, options.token)
  if (typeof catalogue === 'string') {
    complain(`error: ${catalogue}`)
    return 1
  }
  const truth = truthFile === null ? null : await TruthFile.open(truthFile)
  try {
    complain(describePlan(options))
    const summary = await simulate({ ...options, catalogue, truth }, process.stderr, stop)
    print(json ? JSON.stringify(summary) : summaryText(summary))
    if (!summary.ok && !json) complain(verdictText(summary))
    return summary.ok ? 0 : 1
  } finally {
    await truth?.close()
  }
}

function describePlan (options: RunOptions): string {
  const { satellites, rate, batchSize, durationMs, udp } = options
  const length = durationMs === 0 ? 'until stopped' : `for ${durationMs / 1000} s`
  const target = udp === null
    ? `${options.url.origin} ${length}, ${batchSize === 1 ? 'one point' : `${formatCount(batchSize)} points`} a request`
    : `${udp.udpUrl.href} ${length}, as sender ${udp.sender}`
  return `${formatCount(satellites)} satellites × ${formatCount(rate)} points/s = ${formatCount(satellites * rate)} ` +
    `points/s to ${target}, seed ${options.seed}`
}
