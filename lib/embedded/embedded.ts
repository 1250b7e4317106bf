/**
 * The embedded PostgreSQL: created on first use, started once or adopted, restarted if it crashes, stopped.
 *
 *   nothing ──initdb──▶ stopped ──launch──▶ running ──stop()──▶ stopped
 *                                   ▲          │
 *                                   └──────────┘ exited unexpectedly: relaunched on the same port until it works
 *   already running, left by a killed program ──adopt──▶ running
 *
 * The caller holds the lock of the data directory. A new database directory is renamed into place when it is complete.
 * The server listens on the loopback address only, on the same port as long as that is free. If this process exits
 * without stop(), the server is told to stop too; if it is killed, the server keeps running and the next start adopts
 * it.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { readSmall, writeSmall } from '../host/plain-file.js'
import { dataDirMode, ownDirectory } from '../host/data-directory.js'
import { isConnectionError, sqlState, connect } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { initialise, isInitialised, SUPERUSER } from './embedded-creation.js'
import { defaultPlaces, ensurePassword, placeServer } from './embedded-files.js'
import type { EmbeddedPlaces, ServerFiles } from './embedded-files.js'
import { keepLogSmall, openLog, tail } from './embedded-log.js'
import {
  childEnded, disarmLockFile, findPostmaster, hasEnded, isRunning, launch, lockServer, signal, waitForEnd,
  writeInside
} from './embedded-process.js'
import { SERVER_SETTINGS } from './embedded-settings.js'
import { CANNOT_CONNECT_NOW, UNDEFINED_DATABASE } from '../database/sqlstates.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

export interface EmbeddedOptions {
  /** Absolute path; created if missing. */
  readonly dataDir: string
  readonly log: StoreLog
  /** Default: the port of the last start if it is free, else any free one. */
  readonly port?: number
  /** False: fast, but nothing survives a power failure. For tests. */
  readonly fsync?: boolean
  /** Default: those of the installed package. */
  readonly places?: EmbeddedPlaces
  /** For tests; default: LOG_CHECK_MS. */
  readonly logCheckMs?: number
  /** Aborts the start: recovery may take a quarter of an hour. */
  readonly signal?: AbortSignal
}

export interface EmbeddedServer {
  readonly url: string
  /** It was already running. */
  readonly adopted: boolean
  /** Real path of the database directory. */
  readonly directory: string
  /**
   * Stops the server; all calls share the first one's promise. 'fast' ends sessions and writes a checkpoint;
   * 'immediate' is like a power failure.
   */
  stop (mode?: 'fast' | 'immediate'): Promise<void>
}

const DATABASE = 'orbitstream'
const START_DEADLINE_MS = 60_000
/** For a server that reports crash recovery, which may take long. */
const RECOVERY_DEADLINE_MS = 900_000
const FAST_STOP_DEADLINE_MS = 20_000
const IMMEDIATE_STOP_DEADLINE_MS = 5_000
const POLL_MS = 50
const RESTART_PAUSE_MIN_MS = 100
const RESTART_PAUSE_MAX_MS = 30_000
/** Between checks of a server that is not a child process. */
const ADOPTED_POLL_MS = 500
const CONNECT_TIMEOUT_MS = 2_000
const LOG_CHECK_MS = 10_000

/**
 * Creates, starts or adopts the database of a data directory. Throws a StartupError with the end of the server's log.
 */
export async function startEmbedded (options: EmbeddedOptions): Promise<EmbeddedServer> {
  const dataDir = await ownDirectory(options.dataDir, 'DATA_DIR', dataDirMode(true))
  const files = await placeServer(dataDir, options.places ?? defaultPlaces(), options.log)
  const password = await ensurePassword(dataDir)
  if (!await isInitialised(files.directory)) await initialise(dataDir, files, password, options)
  const server = new Server({ ...options, dataDir }, files, password)
  await server.start()
  return server
}

/** URL of the database of a data directory, running or not; null if there is none yet. */
export async function embeddedUrl (dataDir: string): Promise<{ url: string, running: boolean } | null> {
  const password = readSmall(join(dataDir, 'postgres-password'))
  const directory = await realpath(join(dataDir, 'postgres')).catch(() => null)
  if (password === null || directory === null) return null
  const postmaster = await findPostmaster(directory)
  const port = postmaster?.port ?? lastPort(dataDir)
  if (port === null) return null
  return { url: urlOf(port, password, DATABASE), running: postmaster !== null }
}

/** The port of the last start; null: there was none, or the file is damaged. */
function lastPort (dataDir: string): number | null {
  const port = Number(readSmall(join(dataDir, 'postgres-port')))
  return port > 0 ? port : null
}

function urlOf (port: number, password: string, database: string): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${database}`
}

class Server implements EmbeddedServer {
  adopted = false
  private pid = 0
  private port = 0
  private stopping: Promise<void> | null = null
  /** The restart of a crashed server; never rejects. */
  private restarting: Promise<void> = Promise.resolve()
  /** The server process; null: adopted. */
  private child: ChildProcess | null = null
  private readonly ended = new AbortController()
  private readonly onExit = (): void => { if (this.pid !== 0) signal(this.pid, 'SIGINT') }

  constructor (
    private readonly options: EmbeddedOptions, private readonly files: ServerFiles, private readonly password: string
  ) {}

  get url (): string {
    return urlOf(this.port, this.password, DATABASE)
  }

  private get logPath (): string {
    return join(this.options.dataDir, 'postgres.log')
  }

  get directory (): string {
    return this.files.directory
  }

  async start (): Promise<void> {
    process.on('exit', this.onExit)
    try {
      this.adopted = await this.adopt()
      if (!this.adopted) await this.launchUntilReady(await this.choosePort(), this.options.port === undefined)
      await this.ensureDatabase()
    } catch (error) {
      await this.stop('immediate')
      throw error
    }
    this.watch()
    const { log, logCheckMs = LOG_CHECK_MS } = this.options
    void keepLogSmall(this.logPath, logCheckMs, this.ended.signal,
      (reason) => { log.warn({ reason }, 'A large log of PostgreSQL was emptied, and could not be copied') })
  }

  stop (mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    this.stopping ??= this.end(mode)
    return this.stopping
  }

  private async end (mode: 'fast' | 'immediate'): Promise<void> {
    try {
      await this.terminate(mode)
      await this.restarting
      // A server that was just being restarted.
      await this.terminate('immediate')
    } finally {
      process.off('exit', this.onExit)
      this.ended.abort()
    }
  }

  private async terminate (mode: 'fast' | 'immediate'): Promise<void> {
    const { pid } = this
    if (pid === 0) return
    if (mode === 'fast') {
      signal(pid, 'SIGINT')
      if (await this.waitForEnd(pid, FAST_STOP_DEADLINE_MS)) return
      this.options.log.warn({ pid }, 'PostgreSQL did not stop in time: killing it; it will recover at the next start')
    }
    signal(pid, 'SIGQUIT')
    if (await this.waitForEnd(pid, IMMEDIATE_STOP_DEADLINE_MS)) return
    signal(pid, 'SIGKILL')
    await this.waitForEnd(pid, IMMEDIATE_STOP_DEADLINE_MS)
  }

  /** A child reports its exit; an adopted server must be polled. */
  private async waitForEnd (pid: number, deadlineMs: number): Promise<boolean> {
    const { child } = this
    const ended = child?.pid === pid ? await childEnded(child, deadlineMs) : await waitForEnd(pid, deadlineMs)
    if (ended) this.pid = 0
    return ended
  }

  private isStopping (): boolean {
    return this.stopping !== null
  }

  private assertWanted (): void {
    if (!this.isStopping() && this.options.signal?.aborted !== true) return
    throw new StartupError('Stopped before the embedded PostgreSQL was ready.')
  }

  /** Restarts the server when it exits unexpectedly. Does not keep this process alive. */
  private watch (): void {
    const { child, pid } = this
    const look = async (): Promise<void> => {
      if (this.isStopping() || this.pid !== pid) return
      const ended = child?.pid === pid ? hasEnded(child) : !await isRunning(pid)
      if (ended) this.restarting = this.restart()
      else if (child?.pid !== pid) setTimeout(onEnd, ADOPTED_POLL_MS).unref()
    }
    const onEnd = (): void => {
      look().catch((error: unknown) => { throw error })
    }
    if (child?.pid === pid && !hasEnded(child)) child.once('exit', onEnd)
    else onEnd()
  }

  private async restart (): Promise<void> {
    const { log } = this.options
    log.error({ pid: this.pid, said: await tail(this.logPath, 0) },
      'The embedded PostgreSQL exited unexpectedly; restarting it')
    let pauseMs = RESTART_PAUSE_MIN_MS
    while (!this.isStopping()) {
      this.pid = 0
      try {
        await this.launchUntilReady(this.port, false)
        this.watch()
        return
      } catch (error) {
        if (!this.isStopping()) {
          log.error({ reason: String(error) }, 'The embedded PostgreSQL did not start; retrying')
        }
        await this.terminate('immediate')
      }
      await this.pause(pauseMs)
      pauseMs = Math.min(pauseMs * 2, RESTART_PAUSE_MAX_MS)
    }
  }

  /** Ends early on stop(). */
  private async pause (pauseMs: number): Promise<void> {
    const end = performance.now() + pauseMs
    while (!this.isStopping() && performance.now() < end) await delay(POLL_MS, undefined, { ref: false })
  }

  /** Adopts a server already running on this directory; false if there is none, or it exits meanwhile. */
  private async adopt (): Promise<boolean> {
    const found = await findPostmaster(this.files.directory)
    if (found === null) return false
    this.pid = found.pid
    this.port = found.port
    const isRunning = async (): Promise<boolean> => (await findPostmaster(this.files.directory))?.pid === found.pid
    const ready = await this.waitUntilReady(isRunning)
    if (ready) this.options.log.info({ ...found }, 'The embedded PostgreSQL is already running; adopting it')
    else this.pid = 0
    return ready
  }

  private async launchUntilReady (wantedPort: number, otherPortWillDo: boolean): Promise<void> {
    await this.writeSettings()
    const deadline = performance.now() + START_DEADLINE_MS
    let port = wantedPort
    for (;;) {
      const logStart = await this.launchOnce(port)
      const { child } = this
      if (await this.waitUntilReady(() => Promise.resolve(child !== null && !hasEnded(child)))) break
      this.pid = 0
      const said = await tail(this.logPath, logStart)
      const portTaken = said.includes('could not bind')
      // Backends of a killed server may need a moment to notice.
      const passing = said.includes('is still in use') || (portTaken && otherPortWillDo)
      if (!passing || performance.now() > deadline) {
        throw new StartupError(`The embedded PostgreSQL did not start. Its log ends with:\n${said}`)
      }
      if (portTaken) port = await freePort(0) ?? port
      this.assertWanted()
      await delay(POLL_MS)
    }
    await writeSmall(join(this.options.dataDir, 'postgres-port'), String(this.port))
    const { pid } = this
    this.options.log.info({ pid, port: this.port, directory: this.directory }, 'The embedded PostgreSQL was started')
  }

  /** Starts the process; returns the previous length of the log. */
  private async launchOnce (port: number): Promise<number> {
    const lock = await lockServer(
      join(this.options.dataDir, 'postgres.lock'), this.directory, START_DEADLINE_MS, () => this.assertWanted())
    try {
      await disarmLockFile(this.directory, this.files.account)
      return await this.launchLocked(port, lock)
    } finally {
      // The server has inherited it.
      closeSync(lock)
    }
  }

  private async launchLocked (port: number, lock: number): Promise<number> {
    const log = await openLog(this.logPath)
    try {
      const before = fstatSync(log).size
      const args = ['-D', this.directory, '-p', String(port)]
      if (this.options.fsync === false) args.push('-c', 'fsync=off', '-c', 'full_page_writes=off')
      this.child = await launch(join(this.files.binDir, 'postgres'), args, this.files.account, log, lock)
      this.pid = this.child.pid ?? 0
      this.port = port
      return before
    } finally {
      closeSync(log)
    }
  }

  /** True once the server accepts connections, false if it exits; throws if it refuses, or after the deadline. */
  private async waitUntilReady (isRunning: () => Promise<boolean>): Promise<boolean> {
    const begin = performance.now()
    let deadlineMs = START_DEADLINE_MS
    while (performance.now() - begin < deadlineMs) {
      try {
        await (await this.open('postgres')).close()
        return true
      } catch (error) {
        if (!isConnectionError(error)) throw this.refused(error)
        // It is alive and recovering.
        if (sqlState(error) === CANNOT_CONNECT_NOW) deadlineMs = RECOVERY_DEADLINE_MS
      }
      if (!await isRunning()) return false
      this.assertWanted()
      await delay(POLL_MS)
    }
    const said = await tail(this.logPath, 0)
    throw new StartupError(`The embedded PostgreSQL was not ready in time. Its log ends with:\n${said}`)
  }

  private async choosePort (): Promise<number> {
    if (this.options.port !== undefined) return this.options.port
    const last = lastPort(this.options.dataDir)
    const port = (last === null ? null : await freePort(last)) ?? await freePort(0)
    if (port === null) throw new StartupError('No port is free on 127.0.0.1 for the embedded PostgreSQL.')
    return port
  }

  private async writeSettings (): Promise<void> {
    await writeInside(this.directory, 'orbitstream.conf', SERVER_SETTINGS, this.files.account)
  }

  private refused (cause: unknown): StartupError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const file = join(this.options.dataDir, 'postgres-password')
    return new StartupError(
      `The embedded PostgreSQL in ${this.directory} refuses the password in ${file}: ${reason}`, { cause })
  }

  private async ensureDatabase (): Promise<void> {
    try {
      await (await this.open(DATABASE)).close()
    } catch (error) {
      // The first start, or the first one was interrupted before this.
      if (sqlState(error) !== UNDEFINED_DATABASE) throw error
      const database = await this.open('postgres')
      try {
        await database.query(`CREATE DATABASE ${DATABASE}`)
      } finally {
        await database.close()
      }
    }
  }

  private async open (database: string): Promise<Database> {
    const options = { applicationName: 'orbitstream start', connectTimeoutMs: CONNECT_TIMEOUT_MS }
    return await connect(urlOf(this.port, this.password, database), options)
  }
}

/** This port, or any for 0; null if it is taken. */
async function freePort (wanted: number): Promise<number | null> {
  const probe = createServer()
  try {
    probe.listen(wanted, '127.0.0.1')
    await once(probe, 'listening')
    return (probe.address() as AddressInfo).port
  } catch {
    return null
  } finally {
    probe.close()
  }
}
