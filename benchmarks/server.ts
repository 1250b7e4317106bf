/**
 * The program that is measured, driven from outside: `orbitstream-ingest start` with its default settings, its embedded
 * database and a data directory of its own, which is removed at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Database } from '../lib/store/db.js'
import { embeddedUrl } from '../lib/store/embedded.js'
import { postgresRoles, type Roles } from './processes.js'

export const ROOT = new URL('../../', import.meta.url)

export interface ServerOptions {
  /** Null: bin/orbitstream-ingest of this checkout. */
  readonly program: string | null
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

type LogLine = Readonly<Record<string, unknown>>

const START_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 60_000
const CONNECT_TIMEOUT_MS = 5_000
const LOG_LINES_MAX = 10_000
/** The benchmark itself must not be what a limit of the program's environment changes. */
const ENVIRONMENT_KEPT = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'USER', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'UWS_HTTP_MAX_HEADERS_SIZE']

export class Server {
  readonly lines: LogLine[] = []
  ready: LogLine = {}
  databaseUrl = ''
  private postmaster = 0
  private stderr = ''
  private ended = false
  private readonly watchers = new Set<() => void>()

  private constructor (readonly dataDir: string, private readonly child: ChildProcess) {}

  /** Starts the program and waits until it serves. */
  static async start (options: ServerOptions): Promise<Server> {
    const dataDir = await mkdtemp(join(tmpdir(), 'orbitstream-bench-'))
    // PostgreSQL may run under another account, which must reach its files.
    await chmod(dataDir, 0o755)
    const program = options.program ?? fileURLToPath(new URL('bin/orbitstream-ingest', ROOT))
    const args = ['start', '--host', '127.0.0.1', '--port', '0', '--data-dir', dataDir, ...options.args]
    const inherited = Object.fromEntries(ENVIRONMENT_KEPT.flatMap((name) => process.env[name] === undefined ? [] : [[name, process.env[name]]]))
    const child = spawn(process.execPath, [program, ...args], {
      cwd: dataDir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...inherited, UDP_PORT: '0', ...options.env }
    })
    const server = new Server(dataDir, child)
    server.listen()
    try {
      await server.waitUntilReady()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  get url (): string {
    return `http://127.0.0.1:${this.port}`
  }

  get port (): number {
    return Number(this.ready['port'])
  }

  /** Ports of the UDP workers; empty if the program does not listen on UDP. */
  get udpPorts (): readonly number[] {
    const ports = this.ready['udpPorts']
    return Array.isArray(ports) ? ports.map(Number) : []
  }

  /** Lines that tell of trouble. */
  get complaints (): string[] {
    return this.lines.filter(({ level }) => level === 'error' || level === 'fatal' || Number(level) >= 50).map(({ msg }) => String(msg))
  }

  async connect (): Promise<Database> {
    return await connect(this.databaseUrl, { applicationName: 'orbitstream benchmark', connectTimeoutMs: CONNECT_TIMEOUT_MS })
  }

  async health (): Promise<{ readonly status: string, readonly workers: ReadonlyArray<{ readonly pid: number, readonly engine: string }> }> {
    const answer = await fetch(`${this.url}/health`)
    return await answer.json() as Awaited<ReturnType<Server['health']>>
  }

  /** All its processes by kind. @param except pids of database sessions that are not the program's */
  async roles (except: ReadonlySet<number>): Promise<Roles> {
    const roles = postgresRoles(this.postmaster, except)
    roles.set(this.child.pid ?? 0, 'primary')
    for (const { pid, engine } of (await this.health()).workers) roles.set(pid, engine === 'udp' ? 'UDP worker' : 'worker')
    return roles
  }

  /** Ends the program and removes its files. */
  async stop (): Promise<void> {
    if (!this.ended) {
      const killer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS)
      const exit = once(this.child, 'exit')
      this.child.kill('SIGTERM')
      await exit
      clearTimeout(killer)
    }
    await rm(this.dataDir, { recursive: true, force: true })
  }

  private listen (): void {
    const { stdout, stderr } = this.child
    if (stdout === null || stderr === null) throw new Error('the streams of the program must be pipes')
    createInterface({ input: stdout }).on('line', (text) => this.take(text))
    stderr.on('data', (chunk: Buffer) => { this.stderr = (this.stderr + chunk.toString()).slice(-10_000) })
    this.child.once('exit', () => {
      this.ended = true
      this.wake()
    })
  }

  private take (text: string): void {
    if (!text.startsWith('{') || this.lines.length === LOG_LINES_MAX) return
    this.lines.push(JSON.parse(text) as LogLine)
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
      if (this.ended) throw new Error(`the program ended before it was ready:\n${this.lines.map((line) => JSON.stringify(line)).join('\n')}\n${this.stderr}`)
      await new Promise<void>((resolve) => this.watchers.add(resolve))
    }
    clearTimeout(deadline)
    const database = await embeddedUrl(this.dataDir)
    if (database?.running !== true) throw new Error('the embedded database does not run')
    this.databaseUrl = database.url
    this.postmaster = Number((await readFile(join(this.dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])
  }
}
