/**
 * The end before the end: Ctrl-C, SIGTERM, a terminal that closes, or a failure that nobody caught. All servers are stopped and
 * their files removed, then the process ends. To be called before the first server is started.
 */
import { constants } from 'node:os'
import { stopServers } from './servers.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface Interruption {
  /** Resolves at once; never, when the process is about to end. A measurement whose server goes fails, and that is no news then. */
  none (): Promise<void>
}

/** @param finish what is done after all servers are stopped, before the process ends */
export function onInterruption (finish: (what: string) => Promise<void> = async () => {}): Interruption {
  let ending = false
  const end = (what: string, code: number): void => {
    if (ending) return
    ending = true
    process.stderr.write(`${what}: the servers are stopped\n`)
    stopServers()
      .catch((error: unknown) => process.stderr.write(`a server could not be stopped: ${String(error)}\n`))
      .then(() => finish(what))
      .catch((error: unknown) => process.stderr.write(`error: ${String(error)}\n`))
      .finally(() => process.exit(code))
  }
  for (const signal of SIGNALS) process.on(signal, () => end(`interrupted by ${signal}`, 128 + constants.signals[signal]))
  // Promises that are rejected while nobody waits for them come here too.
  process.on('uncaughtException', (error) => end(error.stack ?? String(error), 1))
  return { none: () => ending ? new Promise<void>(() => {}) : Promise.resolve() }
}
