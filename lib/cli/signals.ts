/** Ctrl-C and SIGTERM for commands that must close what they opened. */
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
export type Signal = typeof SIGNALS[number]

/** The first signal calls onFirst; the second ends the process immediately. */
export function onSignals (
  complain: (text: string) => void,
  onFirst: (signal: Signal) => void
): { readonly release: () => void } {
  let received = 0
  const handle = (signal: Signal): void => {
    received++
    if (received === 1) {
      onFirst(signal)
      return
    }
    complain(`${signal}: exiting immediately`)
    process.exit(128 + constants.signals[signal])
  }
  for (const signal of SIGNALS) process.on(signal, handle)
  return { release: () => { for (const signal of SIGNALS) process.off(signal, handle) } }
}
