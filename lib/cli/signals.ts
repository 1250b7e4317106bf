/** Ctrl-C and SIGTERM for commands that must close what they opened. */
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
export type Signal = typeof SIGNALS[number]

export interface Signals {
  /** What the first signal does; may be changed. */
  onFirst: (signal: Signal) => void
  release (): void
}

/** The first signal calls onFirst; one more ends the process at once. */
export function onSignals (complain: (text: string) => void, onFirst: (signal: Signal) => void): Signals {
  let received = 0
  const handle = (signal: Signal): void => {
    received++
    if (received === 1) {
      signals.onFirst(signal)
      return
    }
    complain(`${signal}: stopping at once`)
    process.exit(128 + constants.signals[signal])
  }
  const signals: Signals = {
    onFirst,
    release: () => { for (const signal of SIGNALS) process.off(signal, handle) }
  }
  for (const signal of SIGNALS) process.on(signal, handle)
  return signals
}
