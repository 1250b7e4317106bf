import { chmod, readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { lockInstance, readInstanceId } from '../../../lib/primary/instance.js'
import { loadConfig } from '../../../lib/config/config.js'
import type { Config } from '../../../lib/config/settings.js'
import { Lifecycle } from '../../../lib/support/lifecycle.js'
import { isRoot } from '../../../lib/host/owner.js'
import { silentLog, temporaryDirectory } from '../../support/database/postgres.js'

function configOf (dataDir: string, env: Record<string, string> = {}): Config {
  const loaded = loadConfig({ env: { DATA_DIR: dataDir, ...env } })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

t.test('the id is created once', async (t) => {
  const directory = await temporaryDirectory(t)
  const id = await readInstanceId(directory, silentLog)
  t.match(id, /^[0-9a-f-]{36}$/)
  t.equal(await readInstanceId(directory, silentLog), id)
  t.same(await readdir(directory), ['instance-id'])
  t.equal(await readFile(join(directory, 'instance-id'), 'utf8'), `${id}\n`)
})

t.test('a damaged id is replaced, with a warning', async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'instance-id')
  const warnings: string[] = []
  const log = pino({ base: null }, { write: (line) => { warnings.push(line) } })
  let last = await readInstanceId(directory, log)
  const damage = [
    () => truncate(file, 0),
    () => truncate(file, 20),
    () => writeFile(file, Buffer.alloc(37)),
    () => writeFile(file, `${last}\n${last}\n`),
    () => writeFile(file, 'web-1\n')
  ]
  for (const [index, harm] of damage.entries()) {
    await harm()
    const id = await readInstanceId(directory, log)
    t.match(id, /^[0-9a-f-]{36}$/)
    t.not(id, last)
    t.equal(await readInstanceId(directory, log), id)
    t.equal(warnings.length, index + 1)
    last = id
  }
})

t.test('new directories are private; a world-writable one is reported', async (t) => {
  const dataDir = join(await temporaryDirectory(t), 'data')
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const modeOf = async (...names: string[]): Promise<number> => (await stat(join(dataDir, ...names))).mode & 0o777
  const warnings: string[] = []
  const lock = async (config = configOf(dataDir)): Promise<void> => {
    const lifecycle = new Lifecycle()
    await lockInstance(config, pino({ base: null }, { write: (line) => { warnings.push(line) } }), lifecycle)
    await lifecycle.release()
  }
  await lock()
  t.equal(await modeOf(), isRoot() ? 0o711 : 0o700, 'the account of the embedded PostgreSQL passes through')
  t.equal(await modeOf('spool'), 0o700)
  t.equal(await modeOf('orbitstream.lock'), 0o600)
  t.equal(warnings.length, 0)
  const alone = join(dataDir, 'alone')
  await lock(configOf(alone, { DATABASE_URL: 'postgres://localhost/x' }))
  t.equal(await modeOf('alone'), 0o700)
  await chmod(dataDir, 0o777)
  if (isRoot()) await t.rejects(lock(), { name: 'StartupError', message: /is writable by everyone/ })
  else await lock()
  t.equal(warnings.length, isRoot() ? 0 : 1)
  t.equal(await modeOf(), 0o777, 'an existing directory keeps its mode')
})
