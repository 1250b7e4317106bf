import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rmdir, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Orphans } from '../../../lib/lane/orphans.js'
import { loadConfig } from '../../../lib/config/config.js'
import type { Config } from '../../../lib/config/settings.js'
import { ROW_FORMAT } from '../../../lib/pipeline/rows/payload.js'
import { slotDirectory } from '../../../lib/spool/slot-directories.js'
import type { Spool } from '../../../lib/spool/spool.js'
import { lockDirectory } from '../../../lib/host/data-directory.js'
import { silentLog, temporaryDirectory } from '../../support/database/postgres.js'
import { rowNow, writeSpool } from '../../support/journals/spool-writer.js'
import { appendAll, openTestSpool } from '../spool/support.js'

const HOLDER = fileURLToPath(new URL('../../support/programs/lock-holder.js', import.meta.url))

/** One worker: slot 0 is its own. */
function configOf (dataDir: string): Config {
  const loaded = loadConfig({ env: { DATA_DIR: dataDir, WORKERS: '1', UDP_PORT: 'off', MAX_CONNECTIONS: '5' } })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

interface Opened {
  readonly orphans: Orphans
  readonly given: Spool[]
  /** Resolves with the next spool that is to be drained. */
  next: () => Promise<Spool>
}

function orphansOf (t: Test, dataDir: string): Opened {
  const given: Spool[] = []
  let wake: (spool: Spool) => void = () => {}
  const orphans = new Orphans({
    config: configOf(dataDir),
    log: silentLog,
    hooks: { onFatal: (error) => { throw error }, onSync: () => {}, onFault: () => {} },
    retryMs: 10,
    drain: async (spool) => {
      given.push(spool)
      wake(spool)
      await new Promise(() => {})
    }
  })
  t.teardown(() => orphans.close())
  return { orphans, given, next: () => new Promise((resolve) => { wake = resolve }) }
}

t.test('a slot that cannot be opened is retried, and does not affect the others', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const directory = (slot: number): string => slotDirectory(join(dataDir, 'spool'), slot)
  for (const slot of [0, 4, 5]) await writeSpool(dataDir, slot, [[rowNow('A', slot)]])
  const holder = fork(HOLDER, [directory(5)])
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder, 'message')
  await mkdir(directory(6))
  const { spool: newer } = await openTestSpool(t, { directory: directory(6), rowFormat: ROW_FORMAT + 1 })
  await appendAll(newer, ['newer'])
  await newer.close()
  await writeFile(directory(7), 'not a directory')

  const { orphans, given, next } = orphansOf(t, dataDir)
  await orphans.openBeside([0])
  t.same(given.map((spool) => spool.backlog().rows), [1], 'that of slot 4')
  t.match(orphans.complaints, [
    new RegExp(`^the spool of slot-5, which has .* retrying every minute. .* in use by process ${holder.pid!}`),
    /^the spool of slot-6, .* the next start tries again. .* contains rows of format/,
    /^the spool of slot-7, .*EEXIST/
  ])
  t.strictSame([...orphans.slots].sort(), [4, 5, 6, 7], 'a successor with such a number would not start, or compete')
  const opened = next()
  await unlink(directory(7))
  holder.kill('SIGKILL')
  t.equal((await opened).backlog().rows, 1)
  t.match(orphans.complaints, [/slot-6/], 'a directory that was moved away is no longer reported')
  t.equal(orphans.complaints.length, 1)
  t.equal(given.length, 2)
  await orphans.close()
  // The locks are released.
  for (const slot of [5, 6]) (await lockDirectory(directory(slot), 'spool slot')).release()
})

t.test('one that fails when it is locked already is opened the next time', async (t) => {
  const dataDir = await temporaryDirectory(t)
  // Where the id of a new spool is written first.
  const inTheWay = join(slotDirectory(join(dataDir, 'spool'), 3), 'spool-id.new')
  await mkdir(inTheWay, { recursive: true })
  const { orphans, given, next } = orphansOf(t, dataDir)
  await orphans.openBeside([0])
  t.match(orphans.complaints, [/^the spool of slot-3, .* retrying every minute\. EISDIR/])
  t.equal(given.length, 0)
  const opened = next()
  await rmdir(inTheWay)
  await opened
  t.same(orphans.complaints, [])
})

t.test('nothing is given out after stop', async (t) => {
  const dataDir = await temporaryDirectory(t)
  for (const slot of [3, 4]) await writeSpool(dataDir, slot, [[rowNow('A', slot)]])
  const { orphans, given } = orphansOf(t, dataDir)
  const opening = orphans.openBeside([0])
  orphans.stop()
  await opening
  t.equal(given.length, 0)
  await orphans.close()
})

t.test('of two searches at once, none complains that the other has opened a spool', async (t) => {
  const dataDir = await temporaryDirectory(t)
  for (const slot of [1, 2]) await writeSpool(dataDir, slot, [[rowNow('A', slot)]])
  const { orphans, given } = orphansOf(t, dataDir)
  await Promise.all([orphans.openBeside([0]), orphans.openBeside([0])])
  t.strictSame(orphans.slots, [1, 2])
  t.strictSame(orphans.complaints, [])
  t.equal(given.length, 2)
})

t.test('one that was drained is free again, and slots in use are left alone', async (t) => {
  const dataDir = await temporaryDirectory(t)
  for (const slot of [1, 2]) await writeSpool(dataDir, slot, [[rowNow('A', slot)]])
  let finish: () => void = () => {}
  const orphans = new Orphans({
    config: configOf(dataDir),
    log: silentLog,
    hooks: { onFatal: (error) => { throw error }, onSync: () => {}, onFault: () => {} },
    drain: async () => { await new Promise<void>((resolve) => { finish = resolve }) }
  })
  t.teardown(() => orphans.close())
  await orphans.openBeside([0, 1])
  t.same(orphans.slots, [2])
  await orphans.openBeside([0, 1])
  t.same(orphans.slots, [2], 'not opened twice')
  finish()
  while (orphans.slots.length > 0) await new Promise((resolve) => setImmediate(resolve))
  const lock = await lockDirectory(slotDirectory(join(dataDir, 'spool'), 2), 'spool slot')
  lock.release()
})
