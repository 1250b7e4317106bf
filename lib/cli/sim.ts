/**
 * The program orbitstream-sim: reads its command line, waits for the server, runs the simulation.
 *
 * Progress and problems go to standard error, the summary to standard output. Exit code 0: at least 99% of the points
 * were accepted; 1: fewer, none at all, or no server; 2: the command line was not understood.
 */
import { randomInt } from 'node:crypto'
import { hostname } from 'node:os'
import { SENDER_CHARACTERS_MAX } from '../../protocol/packet/packet.js'
import { waitForServer } from '../sim/server-check.js'
import { simulate, type SimulationOptions, type UdpOptions } from '../sim/simulate.js'
import { count, describeCause, summaryText, verdictText } from '../sim/summary.js'
import { TOKEN_VARIABLE } from '../config/config.js'
import { url as urlType } from '../config/value-types.js'
import { parseArguments, usageError } from './arguments.js'
import type { OptionValues } from './options.js'
import { CHECK_COMMAND, check } from './sim-check.js'
import { readToken } from './sim-token.js'

const PROGRAM = 'orbitstream-sim'
const SERVER_WAIT_MS = 2_000
const SEED_MAX = 2 ** 32 - 1
/** Where a server listens by default. */
const UDP_PORT = 8081
const INTERRUPTED_EXIT_CODE = 130

const SPEC = {
  program: PROGRAM,
  summary: 'Sends the telemetry of a simulated fleet to an OrbitStream server, at a rate that does not depend on its answers.',
  options: [
    { name: 'satellites', alias: 's', type: 'integer', default: 100, min: 1, max: 1_000_000, help: 'Satellites of the fleet: SAT-0001, SAT-0002, …' },
    { name: 'rate', alias: 'r', type: 'number', default: 100, min: 0.001, max: 1_000_000, help: 'Points per second of each satellite.' },
    { name: 'api-url', type: 'string', placeholder: 'url', default: 'http://127.0.0.1:8080', help: 'Address of the server.' },
    { name: 'transport', type: 'enum', values: ['http', 'udp'], default: 'http', help: 'How points are sent.' },
    { name: 'duration', alias: 'd', type: 'duration', bareUnit: 's', min: 0, default: '60s', help: 'How long to send; a number without a unit is seconds, 0 is until stopped.' },
    { name: 'anomaly-rate', type: 'number', default: 0.01, min: 0, max: 1, help: 'Share of the points with a value beyond its limit.' },
    { name: 'batch-size', type: 'integer', default: 1, min: 1, max: 10_000, help: 'Points a request; an incomplete batch is sent after a second.' },
    { name: 'format', type: 'enum', values: ['json', 'msgpack'], help: 'Format of bodies over HTTP.', note: 'default: json; over UDP always msgpack' },
    { name: 'udp-url', type: 'string', placeholder: 'url', help: 'Address for packets, udp://host:port.', note: 'default: port 8081 of the server' },
    { name: 'points-per-packet', type: 'integer', min: 1, max: 1_000, help: 'Points a packet over UDP.', note: 'default: 25, or fewer that fit into 1,400 bytes' },
    { name: 'sender', type: 'string', placeholder: 'name', help: 'Name under which the server counts the packets; two simulators at once need two.', note: 'default: one of this process' },
    { name: 'seed', type: 'integer', min: 0, max: SEED_MAX, help: 'Repeats the values of a run.', note: 'default: a new one, which is printed' },
    { name: 'connections', type: 'integer', default: 500, min: 1, max: 10_000, help: 'Connections at most; opened as they are needed.' },
    { name: 'token', type: 'string', help: 'Token for a server that asks for one; others on this machine see it, unlike the file.' },
    { name: 'token-file', type: 'string', placeholder: 'file', help: 'File whose first line is the token.', note: `default: the variable ${TOKEN_VARIABLE}` },
    { name: 'truth', type: 'string', placeholder: 'file', help: 'Write each anomaly that is put in to this file, for "orbitstream-sim check".' },
    { name: 'json', type: 'boolean', help: 'Print the summary as JSON.' }
  ],
  epilogue: 'orbitstream-sim check FILE compares what --truth wrote with the anomalies that the server has.\n' +
    'Over UDP nothing is answered: at the end the server is asked, at --api-url, how many packets arrived.\n' +
    'Nothing is sent twice: a refused point counts as failed, also when the server asks to wait (Retry-After).\n' +
    'While 2,000 requests or 400,000 points have no answer, further points are skipped and count as not accepted.\n' +
    'Exit code: 0 if at least 99% of the points were accepted, 1 if fewer, none at all or without a server, 2 if the command line is not understood.'
} as const

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words behind the program's name
 */
export async function main (argv: readonly string[]): Promise<void> {
  if (argv[0] === CHECK_COMMAND) {
    process.exitCode = await check(argv.slice(1), { print, complain })
    return
  }
  const parsed = readArguments(argv)
  if (parsed.kind === 'exit') {
    (parsed.exitCode === 0 ? print : complain)(parsed.text)
    process.exitCode = parsed.exitCode
    return
  }
  const stop = stopOnSignals()
  try {
    process.exitCode = await runSimulation(parsed.options, parsed.json, stop.signal)
  } finally {
    stop.release()
  }
}

type Arguments =
  | { readonly kind: 'run', readonly options: SimulationOptions, readonly json: boolean }
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

function readArguments (argv: readonly string[]): Arguments {
  const parsed = parseArguments(SPEC, argv)
  if (parsed.kind === 'exit') return parsed
  const { values } = parsed
  const url = urlType(['http', 'https']).parse(values['api-url'])
  if (!url.ok) return usageError(PROGRAM, [`--api-url: ${url.message}`])
  const read = readToken(values.token, values['token-file'], process.env[TOKEN_VARIABLE])
  if ('problem' in read) return usageError(PROGRAM, [read.problem])
  const udp = readUdp(values, new URL(url.value))
  if (typeof udp === 'string') return usageError(PROGRAM, [udp])
  const options: SimulationOptions = {
    url: new URL(url.value),
    satellites: values.satellites,
    rate: values.rate,
    durationMs: values.duration,
    anomalyRate: values['anomaly-rate'],
    batchSize: values['batch-size'],
    format: values.format ?? 'json',
    seed: values.seed ?? randomInt(SEED_MAX),
    connectionsMax: values.connections,
    token: read.token,
    truthFile: values.truth ?? null,
    udp
  }
  return { kind: 'run', options, json: values.json }
}

/** Null: HTTP. A text: what is wrong. */
function readUdp (values: OptionValues<typeof SPEC.options>, apiUrl: URL): UdpOptions | null | string {
  const { transport, format, sender = defaultSender(), 'udp-url': udpUrl, 'points-per-packet': pointsPerPacket = null } = values
  if (transport === 'http') {
    const stray = (['udp-url', 'points-per-packet', 'sender'] as const).find(name => values[name] !== undefined)
    return stray === undefined ? null : `--${stray} needs --transport udp`
  }
  if (format === 'json') return '--format json is for --transport http; packets are msgpack'
  if (values['batch-size'] > 1) return '--batch-size is for --transport http; use --points-per-packet'
  if (sender.length > SENDER_CHARACTERS_MAX) return `--sender: ${SENDER_CHARACTERS_MAX} characters at most`
  const url = urlType(['udp']).parse(udpUrl ?? `udp://${apiUrl.hostname}:${UDP_PORT}`)
  if (!url.ok) return `--udp-url: ${url.message}`
  if (new URL(url.value).port === '') return '--udp-url: a port is needed, as in udp://127.0.0.1:8081'
  return { udpUrl: new URL(url.value), pointsPerPacket, sender }
}

function defaultSender (): string {
  return `sim-${hostname().replace(/[^\w.-]/g, '').slice(0, 16)}-${process.pid}`
}

async function runSimulation (options: SimulationOptions, json: boolean, stop: AbortSignal): Promise<number> {
  const missing = await waitForServer(options.url, SERVER_WAIT_MS, stop)
  if (missing !== null) {
    complain(`error: no server answers at ${options.url.origin}: ${describeCause(missing)}.\n` +
      'Start one with "orbitstream-ingest start", or name its address with --api-url.')
    return 1
  }
  complain(describePlan(options))
  const summary = await simulate(options, process.stderr, stop)
  print(json ? JSON.stringify(summary) : summaryText(summary))
  if (summary.ok) return 0
  if (!json) complain(verdictText(summary))
  return 1
}

function describePlan (options: SimulationOptions): string {
  const { satellites, rate, batchSize, durationMs, udp } = options
  const length = durationMs === 0 ? 'until stopped' : `for ${durationMs / 1000} s`
  const target = udp === null
    ? `${options.url.origin} ${length}, ${batchSize === 1 ? 'one point' : `${count(batchSize)} points`} a request`
    : `${udp.udpUrl.href} ${length}, as sender ${udp.sender}`
  return `${count(satellites)} satellites × ${count(rate)} points/s = ${count(satellites * rate)} points/s to ${target}, seed ${options.seed}`
}

/** The first signal ends the run in order, the second one at once. */
function stopOnSignals (): { readonly signal: AbortSignal, release (): void } {
  const controller = new AbortController()
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED_EXIT_CODE)
    controller.abort()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, onSignal)
  return {
    signal: controller.signal,
    release: () => {
      for (const signal of signals) process.off(signal, onSignal)
    }
  }
}

function print (text: string): void {
  process.stdout.write(`${text}\n`)
}

function complain (text: string): void {
  process.stderr.write(`${text}\n`)
}
