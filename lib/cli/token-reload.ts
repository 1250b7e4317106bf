/**
 * SIGHUP: the file of the tokens is read again; one with a fault changes nothing. Without such a file the signal keeps its
 * usual meaning, the end of the terminal and of what was started there.
 */
import { readTokens } from '../access/token-file.js'
import type { Primary } from '../primary/primary.js'
import type { Config } from '../config/config.js'
import type { Log } from '../support/log.js'

const SIGNAL = 'SIGHUP'

export class TokenReload {
  private primary: Primary | null = null
  /** A signal came before there was a primary. */
  private isDue = false
  private reading: Promise<void> = Promise.resolve()

  constructor (private readonly config: Config, private readonly log: Log) {
    // Before anything is started: a signal that comes early must not end the server.
    if (config.apiTokensFile !== null) process.on(SIGNAL, this.handle)
  }

  begin (primary: Primary): void {
    this.primary = primary
    if (this.isDue) this.handle()
  }

  release (): void {
    process.off(SIGNAL, this.handle)
  }

  /** Readings follow one another: the last signal's counts. */
  private readonly handle = (): void => {
    this.isDue = true
    const { primary } = this
    if (primary !== null) this.reading = this.reading.then(() => this.read(primary))
  }

  private async read (primary: Primary): Promise<void> {
    const { config: { apiTokens, apiTokensFile: file }, log } = this
    const read = await readTokens(apiTokens, file)
    if (!read.ok) {
      log.error({ file, faults: read.faults }, 'API_TOKENS_FILE was not taken over; the tokens from before count on')
      return
    }
    primary.useTokens(read.tokens)
    log.info({ file, count: read.tokens?.length ?? 0 }, 'API_TOKENS_FILE was read again, and its tokens count')
  }
}
