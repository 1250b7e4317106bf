/** Which HTTP engine all workers use. */
import type { Config } from '../config/settings.js'
import { chooseEngine, type EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { Log } from '../support/log.js'
import { StartupError } from '../support/startup-error.js'
import type { TlsMaterial } from '../support/tls.js'

/** Chosen before anything is forked, so all workers use the same engine, including those started later. */
export async function chooseHttpEngine (
  { httpEngine, dataDir, clientConnections }: Config, log: Log, tls: TlsMaterial | null
): Promise<EngineChoice> {
  const said = { info: (message: string) => log.info(message), warn: (message: string) => log.warn(message) }
  try {
    return await chooseEngine(httpEngine, {
      ...said,
      tls: tls === null ? null : { material: tls, directory: dataDir },
      boundsAddresses: clientConnections !== null
    })
  } catch (cause) {
    throw new StartupError((cause as Error).message, { cause })
  }
}
