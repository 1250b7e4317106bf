/** The connection to the replicated log while nobody answers there. */
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { describeLog, openLog, type OpenLogOptions } from '../../../lib/lane/open-log.js'
import { VERSION_MIN, VERSION_RECOMMENDED } from '../../../lib/replicated/jetstream.js'
import { Lifecycle } from '../../../lib/support/lifecycle.js'
import { createLogger, type Log } from '../../../lib/support/log.js'
import { StartupError } from '../../../lib/support/startup-error.js'

function logTo (lines: string[]): Log {
  return createLogger({ level: 'info', name: 'test', destination: { write: (line) => { lines.push(line) } } })
}

t.test('a start waits, says for what, and can be aborted', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const [lines, waits]: [string[], Array<string | null>] = [[], []]
  const abort = new AbortController()
  const opening = openLog({
    config: { spoolDir: `nats://127.0.0.1:${port}`, logReplicas: 1 } as unknown as OpenLogOptions['config'],
    deployment: 'test',
    name: 'test',
    log: logTo(lines),
    lifecycle: new Lifecycle(),
    signal: abort.signal,
    onWaiting: (reason) => {
      waits.push(reason)
      // The second attempt fails as well.
      if (waits.length === 2) abort.abort()
    }
  })
  await t.rejects(opening, new StartupError('Stopped while waiting for the log.'))
  const reason = /^waiting for the replicated log; is SPOOL_DIR right\? .*refused/i
  t.match(waits, [reason, reason, null], 'in the end it waits for nothing any more')
  t.equal(lines.length, 1, 'the same reason is logged once a minute')
})

t.test('without a replicated log there is nothing to connect to', async (t) => {
  const config = { spoolDir: 'off' } as unknown as OpenLogOptions['config']
  t.equal(await openLog({ config, deployment: '', name: '', log: logTo([]), lifecycle: new Lifecycle() }), null)
})

t.test('servers with known bugs are named', (t) => {
  for (const [version, isOld] of [[VERSION_MIN, true], [VERSION_RECOMMENDED, false], ['3.0.0', false]] as const) {
    const lines: string[] = []
    describeLog({ servers: { version } }, logTo(lines))
    t.match(lines, [isOld ? /the NATS server is old/ : /using the replicated log/])
    t.match(lines[0], version)
  }
  t.end()
})
