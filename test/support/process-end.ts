/**
 * What must end with this process even when no teardown runs: a runner that is out of time sends SIGTERM, people press
 * Ctrl-C. tap alone would die by the signal without the 'exit' event, on which all clean-up of last resort hangs.
 */
const SIGNALS = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const

let listening = false

/** From now on a signal ends this process by way of 'exit'. */
export function exitOnSignals (): void {
  if (listening) return
  listening = true
  for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code))
}

/** Calls `release`, which must be synchronous, when the process ends. Gives what takes that back. */
export function onProcessEnd (release: () => void): () => void {
  exitOnSignals()
  process.once('exit', release)
  return () => process.off('exit', release)
}
