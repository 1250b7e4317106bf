/**
 * `demo`: the server with its embedded database, and the simulator, until Ctrl-C.
 *
 * Both run as separate programs, as a user would start them. They are in their own process groups, so that Ctrl-C
 * reaches only this process, which stops them in order: first the sender, then the server. Settings are passed on.
 * Signals after the first go to both, which a second one ends at once.
 */
import { fetchCatalogue } from './simulator/sim-catalogue.js'
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { summaryText, type Summary } from '../sim/summary.js'
import { formatCount } from '../config/setting-types.js'
import type { ConfigSources } from '../config/config.js'
import { defineCommand } from './command.js'
import { reachable } from './address.js'
import { psqlHint } from './welcome.js'

const SATELLITES = 100
const POINTS_PER_SECOND = 100
/** How long to wait at the end for accepted points to be stored. */
const STORE_DEADLINE_MS = 10_000
const STORE_POLL_MS = 200

type LogLine = Record<string, unknown> & { readonly msg?: string, readonly level?: string }

const PROGRAM = fileURLToPath(new URL('../../../bin/orbitstream', import.meta.url))

export const demo = defineCommand({
  name: 'demo',
  summary: `Run the server and a simulator: ${SATELLITES} satellites, ${POINTS_PER_SECOND} points/s each.`,
  options: [],
  settings: 'all',
  run: async ({ sources, config, complain }) => {
    if (config.tlsCert !== null) {
      complain('error: The demo speaks plain HTTP, on this machine: unset TLS_CERT, or run `start` and `sim`.')
      return 2
    }
    if (config.apiTokens.length > 0 || config.apiTokensFile !== null) {
      complain('error: The demo has no token: unset API_TOKENS and API_TOKENS_FILE, or run `start` and `sim`.')
      return 2
    }
    return await runDemo(flagsOf(sources), reachable(config.host), psqlHint(config))
  }
})

/** The settings of a command line, as given. */
function flagsOf ({ flags = {}, file }: ConfigSources): string[] {
  return Object.entries({ ...flags, config: file?.path })
    .flatMap(([name, value]) => typeof value === 'string' ? [`--${name}=${value}`] : [])
}

type Program = ChildProcessByStdio<null, Readable, null>

function launch (args: readonly string[]): Program {
  return spawn(process.execPath, [PROGRAM, ...args], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Stops a child gracefully; resolves with its exit code. */
async function stop (child: ChildProcess): Promise<number> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? 1
  // A second signal would kill it.
  if (!child.killed) child.kill('SIGTERM')
  const [code] = await once(child, 'exit') as [number | null]
  return code ?? 1
}

/** Reads the server's log: prints warnings and errors, resolves when the server is ready. Null: it exited first. */
async function serverReady (server: Program): Promise<LogLine | null> {
  const lines = createInterface({ input: server.stdout })
  return await new Promise((resolve) => {
    lines.on('line', (words) => {
      const line = parseLine(words)
      if (line.msg === 'ready') resolve(line)
      if (line.level !== 'info' && line.level !== 'debug') {
        process.stderr.write(`\n${line.level ?? 'server'}: ${line.msg ?? words}\n`)
      }
    })
    lines.on('close', () => resolve(null))
  })
}

function parseLine (words: string): LogLine {
  try {
    return JSON.parse(words) as LogLine
  } catch {
    return { msg: words }
  }
}

/** @param psql command that opens the database */
function guide (url: string, psql: string, metric: string): string {
  return `
Open ${url}/ in a browser to see the fleet.

OrbitStream is running. ${SATELLITES} satellites send ${POINTS_PER_SECOND} points/s each; every point is stored.

  Health         ${url}/health
  Metrics        ${url}/metrics
  Send a point   curl ${url}/telemetry -d '{"satellite_id":"TEST-01","${metric}":85.5}'
  Query          ${psql} -c 'SELECT * FROM telemetry ORDER BY time DESC LIMIT 5'

Ctrl-C stops everything. The data is kept for the next start.

`
}

/** The simulator's summary; null if it was killed. */
async function summaryOf (simulator: Program): Promise<Summary | null> {
  try {
    return JSON.parse(await text(simulator.stdout)) as Summary
  } catch {
    return null
  }
}

/** Accepted points that are not stored yet when all are or the time is up; null: the server does not answer. */
async function waitUntilStored (url: string): Promise<number | null> {
  const endMs = performance.now() + STORE_DEADLINE_MS
  let waiting: number | null = null
  do {
    if (waiting !== null) await delay(STORE_POLL_MS)
    try {
      const { points } = await (await fetch(`${url}/health`)).json() as { points: { waiting: number } }
      waiting = points.waiting
    } catch {
      return null
    }
  } while (waiting > 0 && performance.now() < endMs)
  return waiting
}

/** The run in a few lines. A machine slower than the demo's rate is not a failure. */
function report (summary: Summary, waiting: number | null): string {
  const { accepted, failed, rate_sent: reached } = summary
  const stored = waiting === 0
    ? 'and all of them are stored'
    : 'but some are not stored yet; they stay on disk and will be stored after the next start'
  const lines = [summaryText(summary), '', `${formatCount(accepted)} points were accepted, ${stored}.`]
  if (!summary.ok && failed === 0 && reached > 0) {
    lines.push(
      `This machine keeps up with ${formatCount(Math.round(reached))} requests/s of one point; the ` +
        `demo asks for ${formatCount(SATELLITES * POINTS_PER_SECOND)}.`
    )
  }
  return lines.join('\n') + '\n'
}

/** Resolves at the first signal; later ones are passed to the children of that time. */
async function firstSignal (children: readonly ChildProcess[]): Promise<void> {
  await new Promise<void>((resolve) => {
    let isFirst = true
    const handle = (): void => {
      if (!isFirst) for (const child of children) child.kill('SIGTERM')
      isFirst = false
      resolve()
    }
    // SIGHUP: the terminal was closed, which the children do not notice.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, handle)
  })
}

/**
 * @param flags for the server
 * @param host where it is reached
 */
async function runDemo (flags: readonly string[], host: string, psql: string): Promise<number> {
  process.stdout.write('Starting OrbitStream and its embedded PostgreSQL; the first start takes a few seconds …\n')
  const server = launch(['start', ...flags])
  const children = [server]
  const interrupted = firstSignal(children)
  const ready = await Promise.race([serverReady(server), interrupted.then(() => null)])
  if (ready === null) return await stop(server)
  const url = `http://${host}:${String(ready['port'])}`
  const catalogue = await fetchCatalogue(new URL(url), null)
  process.stdout.write(guide(url, psql, typeof catalogue === 'string' ? '' : catalogue.telemetry.live[0]?.name ?? ''))
  const simulator = launch([
    'sim', '-s', String(SATELLITES), '-r', String(POINTS_PER_SECOND), '-d', '0', '--json', '--api-url', url
  ])
  children.push(simulator)
  const summarized = summaryOf(simulator)
  await Promise.race([interrupted, once(server, 'exit'), once(simulator, 'exit')])
  const simulatorEnded = simulator.exitCode !== null || simulator.signalCode !== null
  await stop(simulator)
  process.stdout.write('Storing the remaining points and stopping …\n\n')
  const summary = await summarized
  const waiting = await waitUntilStored(url)
  if (summary !== null) process.stdout.write(report(summary, waiting))
  const code = await stop(server)
  process.stdout.write(code === 0 ? 'Stopped.\n' : `The server exited with code ${code}.\n`)
  if (simulatorEnded) process.stdout.write('The simulator ended by itself.\n')
  return code === 0 && (waiting !== 0 || simulatorEnded) ? 1 : code
}
