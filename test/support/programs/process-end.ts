/**
 * Clean-up that must happen at the end of this process even if no teardown runs: the runner sends SIGTERM on timeout,
 * users press Ctrl-C. tap alone would die of the signal without emitting 'exit', which all last-resort clean-up needs.
 */
const SIGNALS = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const

let listening = false

/** Makes signals end this process through 'exit'. */
export function exitOnSignals (): void {
  if (listening) return
  listening = true
  for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code))
}

/** Calls `release`, which must be synchronous, when the process ends. Returns a function that cancels this. */
export function onProcessEnd (release: () => void): () => void {
  exitOnSignals()
  process.once('exit', release)
  return () => process.off('exit', release)
}
