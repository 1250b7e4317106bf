/** Runs the programs of bin/ as a person would, and reads what they say. Everything started here ends with its test. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from './eventually.js'
import type { Owner } from './owner.js'
import { onProcessEnd } from './process-end.js'
import { environment } from './command.js'

const ROOT = new URL('../../../', import.meta.url)
const END_TIMEOUT_MS = 20_000
const LINE_TIMEOUT_MS = 60_000
const LOG_TAIL_CHARS = 3_000

export type LogLine = Record<string, unknown> & { readonly msg?: string }

export class Program {
  readonly lines: LogLine[] = []
  stdout = ''
  stderr = ''
  /** Exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>
  private readonly watchers = new Set<() => void>()
  private ended = false

  constructor (readonly child: ChildProcess) {
    this.exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.ended = true
        this.wake()
        resolve(code ?? signal ?? -1)
      })
    })
    if (child.stdout === null || child.stderr === null) throw new Error('the streams of the program must be pipes')
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.stdout += `${line}\n`
      if (line.startsWith('{')) this.lines.push(JSON.parse(line) as LogLine)
      this.wake()
    })
    child.stderr.on('data', (chunk: Buffer) => { this.stderr += chunk.toString() })
  }

  get pid (): number {
    return this.child.pid ?? 0
  }

  /** The first line, from `from` on, that the predicate takes. Rejects when the program ends without it, or after a minute. */
  async line (predicate: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const wait = { over: false }
    const search = async (): Promise<LogLine> => {
      while (!wait.over) {
        const found = this.lines.slice(from).find(predicate)
        if (found !== undefined) return found
        if (this.ended) throw new Error(`the program ended first:\n${this.stdout}\n${this.stderr}`)
        await new Promise<void>((resolve) => this.watchers.add(resolve))
      }
      throw new Error('given up')
    }
    try {
      return await within('the line in the log', LINE_TIMEOUT_MS, search())
    } catch (cause) {
      throw new Error(`${(cause as Error).message}; the log ends with\n${this.stdout.slice(-LOG_TAIL_CHARS)}`)
    } finally {
      wait.over = true
    }
  }

  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> {
    this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_TIMEOUT_MS)
    const code = await this.exit
    clearTimeout(timer)
    return code
  }

  private wake (): void {
    for (const resolve of this.watchers) resolve()
    this.watchers.clear()
  }
}

export interface ProgramOptions {
  readonly env?: Record<string, string>
  readonly cwd?: string
  /** What the system allows each process. */
  readonly openFilesMax?: number
}

/** Starts bin/<name>; killed at the end of the test if it still runs. */
export function startProgram (owner: Owner, name: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const command = [process.execPath, fileURLToPath(new URL(`bin/${name}`, ROOT)), ...args]
  // By a shell: Node.js has no way to lower a limit, and raises the soft one to the hard one when it starts.
  const limited = options.openFilesMax === undefined ? command : ['sh', '-c', `ulimit -n ${options.openFilesMax} && exec "$@"`, 'sh', ...command]
  const child = spawn(limited[0] ?? '', limited.slice(1), {
    cwd: options.cwd ?? fileURLToPath(ROOT),
    env: environment(options.env ?? {}),
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const program = new Program(child)
  // A test that runs out of time gets to no teardown.
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  owner.teardown(async () => { await program.stop('SIGTERM') })
  return program
}

export interface Ingest {
  readonly program: Program
  readonly url: string
  readonly dataDir: string
  /** Empty unless startIngest was asked for some. */
  readonly udpPorts: readonly number[]
}

export interface IngestOptions {
  readonly dataDir: string
  readonly databaseUrl?: string
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  /** UDP_PORT; without it: off. */
  readonly udpPort?: string
  readonly openFilesMax?: number
}

/** Starts orbitstream-ingest on free ports and waits until it serves. */
export async function startIngest (owner: Owner, options: IngestOptions): Promise<Ingest> {
  const program = startProgram(owner, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', '0', '--udp-port', options.udpPort ?? 'off', '--data-dir', options.dataDir,
    ...(options.databaseUrl === undefined ? [] : ['--database-url', options.databaseUrl]),
    ...(options.args ?? [])
  ], { env: { LOG_LEVEL: 'info', ...options.env }, ...options.openFilesMax === undefined ? {} : { openFilesMax: options.openFilesMax } })
  const ready = await program.line((line) => line.msg === 'ready')
  return { program, url: `http://127.0.0.1:${String(ready['port'])}`, dataDir: options.dataDir, udpPorts: ready['udpPorts'] as number[] }
}
