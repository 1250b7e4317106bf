/**
 * Early exit: Ctrl-C, SIGTERM, a closed terminal, or an uncaught error. Stops all servers and removes their files, then
 * ends the process. Call before the first server is started.
 */
import { constants } from 'node:os'
import { stopServers } from './servers.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface Interruption {
  /** Resolves immediately, or never if the process is about to end: a measurement that fails then is not reported. */
  none (): Promise<void>
}

/** @param finish runs after all servers are stopped, before the process ends */
export function onInterruption (finish: (what: string) => Promise<void> = async () => {}): Interruption {
  let ending = false
  const end = (what: string, code: number): void => {
    if (ending) return
    ending = true
    process.stderr.write(`${what}: stopping the servers\n`)
    stopServers()
      .catch((error: unknown) => process.stderr.write(`error: could not stop a server: ${String(error)}\n`))
      .then(() => finish(what))
      .catch((error: unknown) => process.stderr.write(`error: ${String(error)}\n`))
      .finally(() => process.exit(code))
  }
  for (const signal of SIGNALS) {
    process.on(signal, () => end(`interrupted by ${signal}`, 128 + constants.signals[signal]))
  }
  // Includes unhandled rejections.
  process.on('uncaughtException', (error) => end(error.stack ?? String(error), 1))
  return { none: () => ending ? new Promise<void>(() => {}) : Promise.resolve() }
}
