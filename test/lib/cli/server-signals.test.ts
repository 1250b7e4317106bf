/** `reload` and `restart --rolling`: this process is the server that they look for. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { reload } from '../../../lib/cli/commands/reload.js'
import { restart } from '../../../lib/cli/commands/restart.js'
import { lockDirectory } from '../../../lib/host/data-directory.js'
import type { Primary } from '../../../lib/primary/primary.js'
import { RestartRequests } from '../../../lib/primary/rolling/restart-requests.js'
import { writeRestartStatus } from '../../../lib/primary/rolling/restart-status.js'
import { version } from '../../../lib/support/version.js'
import { runHere, type Outcome } from '../../support/programs/command.js'
import { silentLog, temporaryDirectory } from '../../support/database/postgres.js'

/** Locked as a server does it. */
async function serve (t: Test, isServer = true): Promise<string> {
  const dataDir = await temporaryDirectory(t)
  const lock = await lockDirectory(dataDir, 'DATA_DIR', 0o700, isServer)
  t.teardown(() => lock.release())
  return dataDir
}

const restartOn = async (dataDir: string): Promise<Outcome> =>
  await runHere(restart, ['--rolling'], { 'data-dir': dataDir })

t.test('restart waits for the outcome', async (t) => {
  const dataDir = await serve(t)
  const requests = new RestartRequests(dataDir, silentLog)
  t.teardown(() => requests.release())
  const outcomes = [{ ok: true, message: 'All workers were replaced.' }, { ok: false, message: 'Worker 1 failed.' }]
  const restartWorkers = async (): ReturnType<Primary['restartWorkers']> =>
    await Promise.resolve(outcomes.shift() ?? { ok: false, message: 'once too often' })
  await requests.begin({ restartWorkers } as unknown as Primary)
  const out = `Process ${process.pid} is replacing its workers one by one; its log has each step.\n`
  t.same(await restartOn(dataDir), { code: 0, out: `${out}All workers were replaced.\n`, err: '' })
  t.same(await restartOn(dataDir), { code: 1, out, err: 'error: Worker 1 failed.\n' })
})

t.test('restart sends no signal to a process that would not obey it', async (t) => {
  process.on('SIGUSR2', () => t.fail('a signal was sent'))
  t.teardown(() => { process.removeAllListeners('SIGUSR2') })
  const dataDir = await serve(t)
  const status = { pid: process.pid, version: version(), count: 1, state: 'idle', message: '' } as const
  const none = /^error: Process \d+ accepts no rolling restarts: /
  t.match(await restartOn(dataDir), { code: 1, out: '', err: none }, 'no status')
  for (const [change, err] of [
    [{ pid: process.pid + 1 }, none],
    [{ state: 'running' }, /^error: A rolling restart is already running/],
    [{ version: '0.0.1' }, /^error: .*0\.0\.1/]
  ] as const) {
    await writeRestartStatus(dataDir, { ...status, ...change })
    t.match(await restartOn(dataDir), { code: 1, out: '', err }, JSON.stringify(change))
  }
  await t.rejects(restartOn(await serve(t, false)), /which is a command, not a server/)
  await t.rejects(restartOn(await temporaryDirectory(t)), /^No server is running/)
})

t.test('reload asks the server only if the files are valid', async (t) => {
  const dataDir = await serve(t)
  const file = join(dataDir, 'tokens.json')
  const run = async (directory: string): Promise<Outcome> =>
    await runHere(reload, [], { 'data-dir': directory, 'api-tokens-file': file })
  let asked = 0
  process.on('SIGHUP', () => { asked++ })
  t.teardown(() => { process.removeAllListeners('SIGHUP') })
  t.match(await runHere(reload, [], { 'data-dir': dataDir }), { code: 1, err: /^error: nothing to reload: set / })
  await writeFile(file, '{"tokens":[{}]}')
  t.match(await run(dataDir), { code: 1, out: '', err: /^error: API_TOKENS_FILE \S+tokens\.json: tokens\[0\]/ })
  t.equal(asked, 0)
  await writeFile(file, '{"tokens":[]}')
  await t.rejects(run(await temporaryDirectory(t)), /^No server is running/)
  // Waiting for a signal alone does not keep the process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const signal = once(process, 'SIGHUP')
  t.match(await run(dataDir), { code: 0, out: `Process ${process.pid} is reloading its files; ` })
  await signal
  t.equal(asked, 1)
})
