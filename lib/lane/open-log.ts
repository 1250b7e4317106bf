/** Connects to the replicated log, however long that takes. */
import { logTarget, type Config } from '../config/settings.js'
import { connectLog, VERSION_RECOMMENDED, compareVersions, type LogServers } from '../replicated/jetstream.js'
import type { ReplicatedLog } from '../replicated/replicated-log.js'
import { Backoff } from '../support/backoff.js'
import type { Lifecycle } from '../support/lifecycle.js'
import { rateLimited, type Log } from '../support/log.js'
import { StartupError } from '../support/startup-error.js'

const RETRY_MS_MIN = 200
const RETRY_MS_MAX = 5_000
const WAITING_LOG_INTERVAL_MS = 60_000

export interface OpenLogOptions {
  readonly config: Config
  readonly deployment: string
  /** Name of the connection. */
  readonly name: string
  readonly log: Log
  readonly lifecycle: Lifecycle
  readonly signal?: AbortSignal
  /** What the start waits for; null: no longer. */
  readonly onWaiting?: (reason: string | null) => void
}

/**
 * Null: SPOOL_DIR is not a replicated log. The lifecycle closes the connection.
 * @throws {StartupError} servers that cannot be used, or the signal
 */
export async function openLog (options: OpenLogOptions): Promise<(ReplicatedLog & { servers: LogServers }) | null> {
  const { config, deployment, name, log, lifecycle, signal, onWaiting } = options
  const target = logTarget(config)
  if (target === null) return null
  const backoff = new Backoff(RETRY_MS_MIN, RETRY_MS_MAX)
  const warn = rateLimited(log, WAITING_LOG_INTERVAL_MS)
  const onAbort = (): void => { backoff.cancel() }
  signal?.addEventListener('abort', onAbort)
  try {
    for (;;) {
      try {
        const opened = await connectLog({ ...target, replicas: config.logReplicas, deployment, name })
        lifecycle.push('the connection to the log', async () => { await opened.close() })
        return opened
      } catch (cause) {
        if (cause instanceof StartupError) throw cause
        if (signal?.aborted === true) throw new StartupError('Stopped while waiting for the log.', { cause })
        const waitsFor = `waiting for the replicated log; is SPOOL_DIR right? ${(cause as Error).message}`
        warn({}, waitsFor)
        onWaiting?.(waitsFor)
        await backoff.wait()
      }
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    onWaiting?.(null)
  }
}

/** Logs what is known of the servers. */
export function describeLog ({ servers }: { readonly servers: LogServers }, log: Log): void {
  const isOld = compareVersions(servers.version, VERSION_RECOMMENDED) < 0
  if (isOld) {
    log.warn({ version: servers.version, recommended: VERSION_RECOMMENDED },
      'the NATS server is old: later versions fix bugs that lose messages of streams')
  } else {
    log.info({ version: servers.version }, 'using the replicated log')
  }
}
