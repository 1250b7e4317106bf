/**
 * `reload`: has the server that runs on DATA_DIR read its files again, after checking them here.
 *
 * Exit codes: 0 the server was asked; 1 a file is invalid, or no server runs here.
 */
import { readTls } from '../../access/tls-files.js'
import { readTokens } from '../../access/token-file.js'
import { readUdpKeys } from '../../access/udp-key-file.js'
import { findServer } from '../../host/data-directory.js'
import { defineCommand } from '../command.js'
import { canReload } from '../reload-signal.js'

export const reload = defineCommand({
  name: 'reload',
  summary: 'Have the running server reload its files of tokens, UDP keys and TLS (as SIGHUP does), if they are valid.',
  options: [],
  settings: ['dataDir', 'apiTokensFile', 'udpKeysFile', 'udpPorts', 'tlsCert', 'tlsKey', 'tlsClientCa'],
  async run ({ config, print, complain }) {
    if (!canReload(config)) {
      complain('error: nothing to reload: set API_TOKENS_FILE, UDP_KEYS_FILE or TLS_CERT as the server has it')
      return 1
    }
    const tokens = await readTokens(config.apiTokens, config.apiTokensFile)
    const [udpKeys, tls] = [await readUdpKeys(config), await readTls(config)]
    const faults = [
      ...tokens.ok ? [] : tokens.faults.map((fault) => `API_TOKENS_FILE ${String(config.apiTokensFile)}: ${fault}`),
      ...udpKeys.ok ? [] : udpKeys.faults,
      ...tls.ok ? [] : tls.faults
    ]
    for (const fault of faults) complain(`error: ${fault}`)
    if (faults.length > 0) return 1
    const pid = await findServer(config.dataDir, 'DATA_DIR')
    try {
      process.kill(pid, 'SIGHUP')
    } catch (error) {
      complain(`error: process ${pid} cannot be sent SIGHUP: ${(error as Error).message}`)
      return 1
    }
    print(`Process ${pid} is reloading its files; see its log for the outcome, and /health for what failed.`)
    return 0
  }
})
