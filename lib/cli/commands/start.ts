/** `start`: the server, until a signal or a failure ends it. */
import { readTls } from '../../access/tls-files.js'
import { readTokens } from '../../access/token-file.js'
import { readUdpKeys } from '../../access/udp-key-file.js'
import { startPrimary, type Primary } from '../../primary/primary.js'
import { RestartRequests } from '../../primary/rolling/restart-requests.js'
import { isGiven } from '../../config/config.js'
import { takeServiceManager } from '../../host/service-manager.js'
import { createLogger } from '../../support/log.js'
import { defineCommand } from '../command.js'
import { readProposed } from './catalogue/catalogue-proposal.js'
import { onSignals } from '../signals.js'
import { ReloadSignal } from '../reload-signal.js'
import { welcome } from '../welcome.js'

export const start = defineCommand({
  name: 'start',
  summary: 'Run the server until Ctrl-C or SIGTERM; a second signal kills it. SIGHUP reloads tokens, keys and TLS.',
  options: [],
  settings: 'all',
  async run ({ config, sources, print, complain }) {
    const read = await readTokens(config.apiTokens, config.apiTokensFile)
    if (!read.ok) {
      for (const fault of read.faults) complain(`error: API_TOKENS_FILE ${String(config.apiTokensFile)}: ${fault}`)
      return 2
    }
    const readKeys = await readUdpKeys(config)
    const readFiles = await readTls(config)
    if (!readKeys.ok || !readFiles.ok) {
      const faults = [readKeys, readFiles].flatMap((read) => read.ok ? [] : read.faults)
      for (const fault of faults) complain(`error: ${fault}`)
      return 2
    }
    const proposed = await readProposed(config, complain)
    if (proposed === undefined) return 2
    const reportReady = takeServiceManager()
    const log = createLogger({ level: config.logLevel, name: 'primary' })
    for (const warning of readKeys.warnings) log.warn(warning)
    const abort = new AbortController()
    let primary: Primary | null = null
    const signals = onSignals(complain, (signal) => {
      if (primary === null) abort.abort()
      else primary.stop(signal)
    })
    const reload = new ReloadSignal(config)
    const restarts = new RestartRequests(config.dataDir, log)
    try {
      primary = await startPrimary({
        config,
        proposed,
        tokens: read.tokens,
        tls: readFiles.tls,
        udpKeys: readKeys.keys,
        retentionIsDefault: !isGiven('retentionMs', sources),
        log,
        signal: abort.signal
      })
      reload.begin(primary)
      await restarts.begin(primary)
      await reportReady?.().catch((error: unknown) => log.warn({ err: error },
        'systemd was not told that the server is ready: is systemd-notify installed? See docs/SYSTEMD.md'))
      if (process.stdout.isTTY) print(welcome(config, primary.port, primary.catalogue))
      return await primary.done
    } finally {
      signals.release()
      reload.release()
      restarts.release()
    }
  }
})
