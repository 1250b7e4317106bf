/** The server's side of the command `restart`: obeys its signal, and keeps the status that it reads. */
import type { Log } from '../../support/log.js'
import { version } from '../../support/version.js'
import type { Primary } from '../primary.js'
import { RESTART_SIGNAL, writeRestartStatus, type RestartStatus } from './restart-status.js'

export class RestartRequests {
  private primary: Primary | null = null
  private count = 0
  private isRunning = false
  private writing: Promise<void> = Promise.resolve()

  constructor (private readonly dataDir: string, private readonly log: Log) {
    // Installed before anything starts: without it, the signal would end the process.
    process.on(RESTART_SIGNAL, this.handle)
  }

  /** From now on, requests are served. */
  async begin (primary: Primary): Promise<void> {
    this.primary = primary
    await this.tell('idle')
  }

  release (): void {
    process.off(RESTART_SIGNAL, this.handle)
  }

  private readonly handle = (): void => { void this.restart() }

  private async restart (): Promise<void> {
    const { primary, log } = this
    if (primary === null || this.isRunning) {
      log.warn(`a rolling restart was refused: ${primary === null ? 'the server is starting' : 'one is running'}`)
      return
    }
    this.isRunning = true
    this.count++
    await this.tell('running')
    const { ok, message } = await primary.restartWorkers()
    // Before it is told: whoever reads it may ask for the next one at once.
    this.isRunning = false
    await this.tell(ok ? 'done' : 'failed', message)
  }

  private async tell (state: RestartStatus['state'], message = ''): Promise<void> {
    const { dataDir, count, log } = this
    const status = { pid: process.pid, version: version(), count, state, message }
    this.writing = this.writing.then(async () => await writeRestartStatus(dataDir, status)).catch((error: unknown) => {
      log.warn({ err: error }, 'the status of rolling restarts cannot be written to DATA_DIR')
    })
    await this.writing
  }
}
