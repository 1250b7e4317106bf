/**
 * Reads API_TOKENS_FILE, UDP_KEYS_FILE and the files of TLS again, while the server runs. Each takes effect whole or
 * not at all, and a fault in one does not hold up the others. Until the next reload, /health names what was wrong.
 */
import { readTokens } from '../access/token-file.js'
import { readTls, type TlsFiles } from '../access/tls-files.js'
import type { Token } from '../access/token.js'
import type { UdpKey } from '../access/udp-key.js'
import { readUdpKeys } from '../access/udp-key-file.js'
import type { Config } from '../config/settings.js'
import type { Log } from '../support/log.js'

export interface ReloadsOptions {
  readonly config: Config
  readonly log: Log
  readonly useTokens: (tokens: readonly Token[] | null) => void
  readonly useUdpKeys: (keys: readonly UdpKey[] | null) => void
  /** Rejects if the HTTP engine cannot use it. */
  readonly useTls: (tls: TlsFiles) => Promise<void>
}

export class Reloads {
  ok = 0
  failed = 0
  /** Of the last reload: sentences without a full stop. */
  faults: readonly string[] = []
  private running: Promise<void> = Promise.resolve()

  constructor (private readonly options: ReloadsOptions) {}

  /** Reloads run one after another, so that the last one wins. */
  request (): void {
    this.running = this.running.then(() => this.run())
  }

  private async run (): Promise<void> {
    const { config, log } = this.options
    if (config.apiTokensFile === null && config.udpKeysFile === null && config.tlsCert === null) {
      log.warn('nothing to reload: none of API_TOKENS_FILE, UDP_KEYS_FILE and TLS_CERT is set')
      return
    }
    this.faults = [...await this.reloadTokens(), ...await this.reloadUdpKeys(), ...await this.reloadTls()]
    if (this.faults.length === 0) this.ok++
    else this.failed++
  }

  private async reloadTokens (): Promise<readonly string[]> {
    const { config: { apiTokens, apiTokensFile: file }, log, useTokens } = this.options
    if (file === null) return []
    const read = await readTokens(apiTokens, file)
    if (!read.ok) {
      log.error({ file, faults: read.faults }, 'API_TOKENS_FILE is invalid; the previous tokens stay in force')
      return read.faults.map((fault) => `API_TOKENS_FILE ${file}: ${fault}`)
    }
    useTokens(read.tokens)
    log.info({ file, count: read.tokens?.length ?? 0 }, 'API_TOKENS_FILE reloaded')
    return []
  }

  private async reloadUdpKeys (): Promise<readonly string[]> {
    const { config, log, useUdpKeys } = this.options
    const file = config.udpKeysFile
    if (file === null) return []
    const read = await readUdpKeys(config)
    if (!read.ok) {
      log.error({ file, faults: read.faults }, 'UDP_KEYS_FILE is invalid; the previous keys stay in force')
      return read.faults
    }
    useUdpKeys(read.keys)
    log.info({ file, count: read.keys?.length ?? 0 }, 'UDP_KEYS_FILE reloaded')
    for (const warning of read.warnings) log.warn(warning)
    return []
  }

  private async reloadTls (): Promise<readonly string[]> {
    const { config, log, useTls } = this.options
    const file = config.tlsCert
    const read = await readTls(config)
    if (read.ok && read.tls === null) return []
    const faults = read.ok ? await useTls(read.tls as TlsFiles).then(() => [], messageOf) : read.faults
    if (faults.length > 0) log.error({ file, faults }, 'the previous TLS certificate stays in force')
    else logTls(log, read.ok ? read.tls : null, 'TLS_CERT reloaded')
    return faults
  }
}

/** Logs what is served from now on, and what is wrong with it. */
export function logTls (log: Log, tls: TlsFiles | null, message: string): void {
  if (tls === null) return
  log.info({ expires: new Date(tls.expiresMs).toISOString() }, message)
  for (const warning of tls.warnings) log.warn(warning)
}

function messageOf (error: unknown): string[] {
  return [(error as Error).message]
}
