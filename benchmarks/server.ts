/**
 * The program under measurement, driven from outside: `orbitstream-ingest start` with default settings, its embedded
 * database, and its own data directory, which is removed at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { connect } from '../lib/database/connection.js'
import type { Database } from '../lib/database/database.js'
import { embeddedUrl } from '../lib/embedded/embedded.js'
import { postgresRoles, type Roles } from './processes.js'
import { addComplaint, addServer, refuseWhenEnding, removeServer } from './servers.js'

export const ROOT = new URL('../../', import.meta.url)

const OWN_PROGRAM = fileURLToPath(new URL('bin/orbitstream-ingest', ROOT))

export interface ServerOptions {
  /** Null: this checkout's bin/orbitstream-ingest. */
  readonly program: string | null
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Where to create its data directory; default: the system's temporary directory. */
  readonly dataRoot?: string | null
}

type LogLine = Readonly<Record<string, unknown>>

const START_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 60_000
const CONNECT_TIMEOUT_MS = 5_000
const DATABASE_STOP_DEADLINE_MS = 10_000
const DATABASE_POLL_MS = 20
const LOG_LINES_MAX = 10_000
/** The benchmark makes its own. */
const ANY_CERTIFICATE = new Agent({ connect: { rejectUnauthorized: false } })
/** The program's settings must not leak in from the benchmark's environment. */
const ENVIRONMENT_KEPT = [
  'PATH', 'HOME', 'LANG', 'TMPDIR', 'USER', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'UWS_HTTP_MAX_HEADERS_SIZE'
]

export class Server {
  readonly lines: LogLine[] = []
  ready: LogLine = {}
  databaseUrl = ''
  private postmaster = 0
  private stderr = ''
  private ended = false
  private stopping: Promise<void> | null = null
  private readonly watchers = new Set<() => void>()

  private constructor (
    readonly dataDir: string,
    /** Whether it speaks TLS. */
    readonly tls: boolean,
    private readonly child: ChildProcess
  ) {}

  /** Starts the program and waits until it is ready. */
  static async start (options: ServerOptions): Promise<Server> {
    const server = Server.spawn(options)
    try {
      await server.waitUntilReady()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** Synchronous, so that no signal arrives between creating the directory, the process and its registration. */
  private static spawn ({ program, args, env, dataRoot }: ServerOptions): Server {
    refuseWhenEnding()
    const dataDir = mkdtempSync(join(dataRoot ?? tmpdir(), 'orbitstream-bench-'))
    // PostgreSQL may run under another account, which must reach its files.
    chmodSync(dataDir, 0o755)
    const inherited = Object.fromEntries(ENVIRONMENT_KEPT.map((name) => [name, process.env[name]]))
    // Its own process group: Ctrl-C is for the benchmark, and the rest of the group can be killed at the end.
    const child = spawn(process.execPath, [
      program ?? OWN_PROGRAM, 'start', '--host', '127.0.0.1', '--port', '0', '--data-dir', dataDir, ...args
    ], {
      cwd: dataDir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...inherited, UDP_PORT: '0', ...env }, detached: true
    })
    const server = new Server(dataDir, env?.['TLS_CERT'] !== undefined, child)
    addServer(server)
    server.listen()
    return server
  }

  get url (): string {
    return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`
  }

  get port (): number {
    return Number(this.ready['port'])
  }

  /** Ports of the UDP workers; empty without UDP. */
  get udpPorts (): readonly number[] {
    const ports = this.ready['udpPorts']
    return Array.isArray(ports) ? ports.map(Number) : []
  }

  async connect (): Promise<Database> {
    return await connect(this.databaseUrl, {
      applicationName: 'orbitstream benchmark',
      connectTimeoutMs: CONNECT_TIMEOUT_MS
    })
  }

  async health (): Promise<{
    readonly status: string,
    readonly workers: ReadonlyArray<{ readonly pid: number, readonly engine: string }>
  }> {
    const { body } = await request(`${this.url}/health`, { dispatcher: ANY_CERTIFICATE })
    return await body.json() as Awaited<ReturnType<Server['health']>>
  }

  /** All its processes by kind. @param except pids of database sessions that are not the program's */
  async roles (except: ReadonlySet<number>): Promise<Roles> {
    const roles = postgresRoles(this.postmaster, except)
    roles.set(this.child.pid ?? 0, 'primary')
    for (const { pid, engine } of (await this.health()).workers) {
      roles.set(pid, engine === 'udp' ? 'UDP worker' : 'worker')
    }
    return roles
  }

  /** Stops the program and removes its files. */
  stop (): Promise<void> {
    this.stopping ??= this.end()
    return this.stopping
  }

  private async end (): Promise<void> {
    if (!this.ended) {
      const killer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS)
      const exit = once(this.child, 'exit')
      this.child.kill('SIGTERM')
      await exit
      clearTimeout(killer)
    }
    await this.endOrphans()
    await rm(this.dataDir, { recursive: true, force: true })
    removeServer(this)
  }

  /** A program that was killed, or exited before it handled signals, leaves a database, or the process creating one. */
  private async endOrphans (): Promise<void> {
    const postmaster = await readPostmaster(this.dataDir)
    if (postmaster !== null && signal(postmaster, 'SIGQUIT')) {
      const deadlineMs = performance.now() + DATABASE_STOP_DEADLINE_MS
      while (signal(postmaster, 0) && performance.now() < deadlineMs) await wait(DATABASE_POLL_MS)
    }
    if (this.child.pid !== undefined) signal(-this.child.pid, 'SIGKILL')
  }

  private listen (): void {
    const { stdout, stderr } = this.child
    if (stdout === null || stderr === null) throw new Error('the program\'s streams must be pipes')
    createInterface({ input: stdout }).on('line', (text) => this.take(text))
    stderr.on('data', (chunk: Buffer) => { this.stderr = (this.stderr + chunk.toString()).slice(-10_000) })
    const end = (): void => {
      this.ended = true
      this.wake()
    }
    this.child.once('exit', end)
    // It could not be started.
    this.child.once('error', end)
  }

  private take (text: string): void {
    const line = parseLine(text)
    if (line === null) return
    const complaint = complaintOf(line)
    if (complaint !== null) addComplaint(complaint)
    if (this.lines.length === LOG_LINES_MAX) return
    this.lines.push(line)
    this.wake()
  }

  private wake (): void {
    for (const resolve of this.watchers) resolve()
    this.watchers.clear()
  }

  private async waitUntilReady (): Promise<void> {
    const deadline = setTimeout(() => this.child.kill('SIGKILL'), START_DEADLINE_MS)
    for (;;) {
      const ready = this.lines.find(({ msg }) => msg === 'ready')
      if (ready !== undefined) {
        this.ready = ready
        break
      }
      if (this.ended) {
        const log = this.lines.map((line) => JSON.stringify(line)).join('\n')
        throw new Error(`the program exited before it was ready:\n${log}\n${this.stderr}`)
      }
      await new Promise<void>((resolve) => this.watchers.add(resolve))
    }
    clearTimeout(deadline)
    const database = await embeddedUrl(this.dataDir)
    if (database?.running !== true) throw new Error('the embedded database is not running')
    this.databaseUrl = database.url
    this.postmaster = await readPostmaster(this.dataDir) ?? 0
  }
}

/** Null: not a log line. */
function parseLine (text: string): LogLine | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as LogLine
  } catch {
    // The truncated last line of a killed program.
    return null
  }
}

/** The error that a log line reports; null if none. */
export function complaintOf ({ level, msg, reason, err }: LogLine): string | null {
  if (level !== 'error' && level !== 'fatal' && !(Number(level) >= 50)) return null
  const cause = reason ?? (err as { readonly message?: unknown } | undefined)?.message
  return typeof cause === 'string' ? `${String(msg)}: ${cause}` : String(msg)
}

async function readPostmaster (dataDir: string): Promise<number | null> {
  const text = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number(text.split('\n')[0])
  return pid > 0 ? pid : null
}

/** False: there is no such process. */
function signal (pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
