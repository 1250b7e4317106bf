/** `start`: the server, until a signal or a failure ends it. */
import { constants } from 'node:os'
import { startPrimary } from '../../cluster/primary.js'
import { createLogger } from '../../log.js'
import { defineCommand } from '../command.js'
import { welcome } from '../welcome.js'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
type Signal = typeof SIGNALS[number]

/** The first signal calls onFirst; one more ends the process at once. */
function onSignals (complain: (text: string) => void, onFirst: (signal: Signal) => void): { onFirst: (signal: Signal) => void, release: () => void } {
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
  const signals = {
    onFirst,
    release: () => { for (const signal of SIGNALS) process.off(signal, handle) }
  }
  for (const signal of SIGNALS) process.on(signal, handle)
  return signals
}

export const start = defineCommand({
  name: 'start',
  summary: 'Run the server until Ctrl-C or SIGTERM; a second one ends it at once.',
  options: [],
  settings: 'all',
  async run ({ config, print, complain }) {
    const abort = new AbortController()
    const signals = onSignals(complain, () => abort.abort())
    try {
      const primary = await startPrimary(config, createLogger({ level: config.logLevel, name: 'primary' }), abort.signal)
      signals.onFirst = (signal) => primary.stop(signal)
      if (process.stdout.isTTY) print(welcome(config, primary.port))
      return await primary.done
    } finally {
      signals.release()
    }
  }
})
