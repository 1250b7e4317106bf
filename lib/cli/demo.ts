/**
 * `npm run demo`: the server with its embedded database and the simulator, together, until Ctrl-C.
 *
 * Both run as their own programs, just as a person would start them. They stand in process groups of their own,
 * so that Ctrl-C reaches only this process, which ends them in order: first the sender, then the server.
 * Settings come from the environment as for the programs themselves (PORT, DATA_DIR, …).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SATELLITES = 100
const POINTS_PER_SECOND = 100

type LogLine = Record<string, unknown> & { readonly msg?: string, readonly level?: string }

function start (name: string, args: readonly string[], stdout: 'pipe' | 'inherit'): ChildProcess {
  const program = fileURLToPath(new URL(`../../../bin/${name}`, import.meta.url))
  return spawn(process.execPath, [program, ...args], { detached: true, stdio: ['ignore', stdout, 'inherit'] })
}

/** Ends a child politely; resolves with its exit code. */
async function stop (child: ChildProcess): Promise<number> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? 1
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit') as [number | null]
  return code ?? 1
}

/** Reads the server's log: shows what is wrong, resolves when it serves. Null: it ended before. */
async function serverReady (server: ChildProcess): Promise<LogLine | null> {
  if (server.stdout === null) throw new TypeError('the log of the server must be a pipe')
  const lines = createInterface({ input: server.stdout })
  return await new Promise((resolve) => {
    lines.on('line', (text) => {
      const line = parseLine(text)
      if (line.msg === 'ready') resolve(line)
      if (line.level !== 'info' && line.level !== 'debug') process.stderr.write(`\n${line.level ?? 'server'}: ${line.msg ?? text}\n`)
    })
    lines.on('close', () => resolve(null))
  })
}

function parseLine (text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return { msg: text }
  }
}

function guide (url: string): string {
  return `
OrbitStream runs. ${SATELLITES} satellites send ${POINTS_PER_SECOND} points a second each; every one is stored.

  State          ${url}/health
  Metrics        ${url}/metrics
  Send a point   curl ${url}/telemetry -d '{"satellite_id":"TEST-01","battery_charge_percent":85.5}'
  Look at it     psql "$(bin/orbitstream-ingest database-url)" -c 'SELECT * FROM telemetry ORDER BY time DESC LIMIT 5'

Ctrl-C stops everything and keeps the data; the next start goes on with it.

`
}

async function demo (): Promise<number> {
  process.stdout.write('Starting OrbitStream and its PostgreSQL; the first start takes a few seconds …\n')
  const server = start('orbitstream-ingest', ['start'], 'pipe')
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  const ready = await Promise.race([serverReady(server), interrupted.then(() => null)])
  if (ready === null) return await stop(server)
  const url = `http://127.0.0.1:${String(ready['port'])}`
  process.stdout.write(guide(url))
  const simulator = start('orbitstream-sim', ['-s', String(SATELLITES), '-r', String(POINTS_PER_SECOND), '-d', '0', '--api-url', url], 'inherit')
  await Promise.race([interrupted, once(server, 'exit'), once(simulator, 'exit')])
  await stop(simulator)
  process.stdout.write('Storing what was accepted and stopping the database …\n')
  const code = await stop(server)
  process.stdout.write(code === 0 ? 'Stopped.\n' : `The server ended with exit code ${code}.\n`)
  return code
}

process.exitCode = await demo()
