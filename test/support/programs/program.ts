/** Runs the programs in bin/ as a user would and reads their logs. Everything started here ends with its test. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from '../eventually.js'
import type { Owner } from '../owner.js'
import { onProcessEnd } from './process-end.js'
import { environment, nodeCommand } from './command.js'

const ROOT = new URL('../../../../', import.meta.url)
const END_TIMEOUT_MS = 20_000
const LINE_TIMEOUT_MS = 60_000
const LOG_TAIL_CHARS = 3_000

export type LogLine = Record<string, unknown> & { readonly msg?: string }

export class Program {
  readonly lines: LogLine[] = []
  stdout = ''
  stderr = ''
  /** Exit code, or the signal that killed it. */
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
    if (child.stdout === null || child.stderr === null) throw new Error("the program's streams must be pipes")
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

  /** The first line from index `from` that matches. Rejects if the program exits without one, or after a minute. */
  async line (predicate: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const wait = { isOver: false }
    const search = async (): Promise<LogLine> => {
      while (!wait.isOver) {
        const found = this.lines.slice(from).find(predicate)
        if (found !== undefined) return found
        if (this.ended) throw new Error(`the program exited first:\n${this.stdout}\n${this.stderr}`)
        await new Promise<void>((resolve) => this.watchers.add(resolve))
      }
      throw new Error('gave up')
    }
    try {
      return await within('a matching log line', LINE_TIMEOUT_MS, search())
    } catch (cause) {
      throw new Error(`${(cause as Error).message}; the log ends with\n${this.stdout.slice(-LOG_TAIL_CHARS)}`)
    } finally {
      wait.isOver = true
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
  /** Open file limit of each process. */
  readonly openFilesMax?: number
}

/** Starts bin/<name>; stopped at the end of the test if it still runs. */
export function startProgram (
  owner: Owner, name: string, args: readonly string[], options: ProgramOptions = {}
): Program {
  const { env = {}, cwd = fileURLToPath(ROOT), openFilesMax } = options
  // Through a shell: Node.js cannot lower the limit, and raises the soft limit to the hard one when it starts.
  const limited = openFilesMax === undefined ? [] : ['sh', '-c', `ulimit -n ${openFilesMax} && exec "$@"`, 'sh']
  const program = fileURLToPath(new URL(`bin/${name}`, ROOT))
  const [command = '', ...rest] = [...limited, ...nodeCommand(env['NODE_OPTIONS']), program, ...args]
  const child = spawn(command, rest, { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] })
  const running = new Program(child)
  // Teardowns do not run when a test times out.
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  owner.teardown(async () => { await running.stop('SIGTERM') })
  return running
}

export interface Ingest {
  readonly program: Program
  readonly url: string
  readonly dataDir: string
  /** Empty unless startIngest was given udpPort. */
  readonly udpPorts: readonly number[]
}

export interface IngestOptions {
  readonly dataDir: string
  readonly databaseUrl?: string
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  /** Default: a free one. */
  readonly port?: string
  /** UDP_PORT; off by default. */
  readonly udpPort?: string
  readonly openFilesMax?: number
}

/** Starts orbitstream-ingest on free ports and waits until it serves. */
export async function startIngest (
  owner: Owner,
  { dataDir, databaseUrl, args = [], env = {}, port = '0', udpPort = 'off', openFilesMax }: IngestOptions
): Promise<Ingest> {
  const program = startProgram(owner, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', port, '--udp-port', udpPort, '--data-dir', dataDir,
    ...(databaseUrl === undefined ? [] : ['--database-url', databaseUrl]),
    ...args
  ], { env: { LOG_LEVEL: 'info', ...env }, ...openFilesMax === undefined ? {} : { openFilesMax } })
  const ready = await program.line((line) => line.msg === 'ready')
  return { program, url: `http://127.0.0.1:${String(ready['port'])}`, dataDir, udpPorts: ready['udpPorts'] as number[] }
}
