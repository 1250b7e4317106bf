/**
 * SIGHUP reloads API_TOKENS_FILE, UDP_KEYS_FILE and the files of TLS. On a terminal and with none of them, the signal
 * keeps its usual meaning: the terminal was closed, and its programs end.
 */
import type { Primary } from '../primary/primary.js'
import type { Config } from '../config/settings.js'

const SIGNAL = 'SIGHUP'

export class ReloadSignal {
  private primary: Primary | null = null
  /** A signal arrived before the primary was ready. */
  private isDue = false

  constructor (config: Config) {
    // Installed before anything starts: an early signal must not end the server.
    if (canReload(config) || !process.stdout.isTTY) process.on(SIGNAL, this.handle)
  }

  begin (primary: Primary): void {
    this.primary = primary
    if (this.isDue) primary.reload()
  }

  release (): void {
    process.off(SIGNAL, this.handle)
  }

  private readonly handle = (): void => {
    this.isDue = true
    this.primary?.reload()
  }
}

export function canReload ({ apiTokensFile, udpKeysFile, tlsCert }: Config): boolean {
  return apiTokensFile !== null || udpKeysFile !== null || tlsCert !== null
}
