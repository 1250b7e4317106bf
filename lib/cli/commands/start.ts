/** `start`: the server, until a signal or a failure ends it. */
import { startPrimary } from '../../cluster/primary.js'
import { isGiven } from '../../config.js'
import { createLogger } from '../../log.js'
import { defineCommand } from '../command.js'
import { onSignals } from '../signals.js'
import { welcome } from '../welcome.js'

export const start = defineCommand({
  name: 'start',
  summary: 'Run the server until Ctrl-C or SIGTERM; a second one ends it at once.',
  options: [],
  settings: 'all',
  async run ({ config, sources, print, complain }) {
    const abort = new AbortController()
    const signals = onSignals(complain, () => abort.abort())
    try {
      const primary = await startPrimary(config, createLogger({ level: config.logLevel, name: 'primary' }), abort.signal, !isGiven('retentionMs', sources))
      signals.onFirst = (signal) => primary.stop(signal)
      if (process.stdout.isTTY) print(welcome(config, primary.port))
      return await primary.done
    } finally {
      signals.release()
    }
  }
})
