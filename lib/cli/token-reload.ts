/**
 * SIGHUP reloads API_TOKENS_FILE; an invalid file changes nothing. Without such a file the signal keeps its usual
 * meaning: the terminal was closed, and its programs end.
 */
import { readTokens } from '../access/token-file.js'
import type { Primary } from '../primary/primary.js'
import type { Config } from '../config/config.js'
import type { Log } from '../support/log.js'

const SIGNAL = 'SIGHUP'

export class TokenReload {
  private primary: Primary | null = null
  /** A signal arrived before the primary was ready. */
  private isDue = false
  private reading: Promise<void> = Promise.resolve()

  constructor (private readonly config: Config, private readonly log: Log) {
    // Installed before anything starts: an early signal must not end the server.
    if (config.apiTokensFile !== null) process.on(SIGNAL, this.handle)
  }

  begin (primary: Primary): void {
    this.primary = primary
    if (this.isDue) this.handle()
  }

  release (): void {
    process.off(SIGNAL, this.handle)
  }

  /** Reloads run one after another, so that the last signal wins. */
  private readonly handle = (): void => {
    this.isDue = true
    const { primary } = this
    if (primary !== null) this.reading = this.reading.then(() => this.read(primary))
  }

  private async read (primary: Primary): Promise<void> {
    const { config: { apiTokens, apiTokensFile: file }, log } = this
    const read = await readTokens(apiTokens, file)
    if (!read.ok) {
      log.error({ file, faults: read.faults }, 'API_TOKENS_FILE is invalid; the previous tokens stay in force')
      return
    }
    primary.useTokens(read.tokens)
    log.info({ file, count: read.tokens?.length ?? 0 }, 'API_TOKENS_FILE reloaded')
  }
}
