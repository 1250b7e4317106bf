/** `spool drain` and `spool inspect` with the wrong database, a blocked database, and damage on disk. */
import { once } from 'node:events'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runIngest, type Outcome } from '../support/programs/command.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startProgram } from '../support/programs/program.js'
import { open, range, toInspection, valuesIn } from '../support/journals/spool-inspection.js'
import { rowNow, writeSpool } from '../support/journals/spool-writer.js'

t.test('slots that fit are drained beside one that does not; the fault is told before and after', async (t) => {
  const server = await startTestPostgres(t)
  const [right, wrong] = [await createTestDatabase(server), await createTestDatabase(server)]
  const dataDir = await temporaryDirectory(t)
  const run = async (url: string, ...words: string[]): Promise<Outcome> =>
    await runIngest(['spool', ...words, '--data-dir', dataDir, '--database-url', url])
  const drain = async (url: string): Promise<Outcome> => await run(url, 'drain')
  await writeSpool(dataDir, 0, [[rowNow('A', 1)]])
  t.match(await drain(right), { code: 0, out: 'slot-0: 1 row stored, empty\nThe spool is empty.\n' })
  const spoolId = await writeSpool(dataDir, 0, [[rowNow('A', 2)]])
  // Many slots of an instance that was larger once.
  for (let slot = 1; slot <= 6; slot++) {
    await writeSpool(dataDir, slot, [[rowNow('B', slot * 10)], [rowNow('B', slot * 10 + 1)]])
  }

  const inspect = toInspection(await run(right, 'inspect', '--json'))
  t.match(inspect, { waitingRows: 13, slots: [{ spoolId, fault: null, waiting: { rows: 1, frames: 1 } }] })
  const failed = await drain(wrong)
  t.match(failed, { code: 1, out: /^slot-0: 0 rows stored, 1 row left$/m })
  const missing = `The database has no ledger row for spool ${spoolId}.*spool resolve`
  t.match(failed.err, new RegExp(`^error: slot-0 was not emptied: ${missing}`, 'm'))
  t.notMatch(failed.err, 'at file:', 'no stack')
  t.same(await valuesIn(wrong), range(1, 6).flatMap((slot) => [slot * 10, slot * 10 + 1]), 'the others went there')
  const text = (await run(wrong, 'inspect')).out
  const shown = await run(wrong, 'resolve', '--slot', '0')
  t.match(shown, { code: 1, out: /^slot-0: [^]*\n {2}The database does not have the first of the points on disk\./ })
  t.match(shown.out, /After that, 1 row in 1 frame will be stored\./)
  const fits = await run(wrong, 'resolve', '--slot', '1')
  t.match(fits, { code: 0, out: 'Every ledger that was checked fits its spool.\n' })
  t.match(text, /^ {2}FAULT \(ledger_missing\): The database has no ledger row/m)
  t.match(text, /\n1 row in 1 frame pending\.\n$/)
  t.match(await drain(right), { code: 1, err: /slot-1 was not emptied/ }, 'its frames went to the other database')
  t.same(await valuesIn(right), [1, 2])
})

t.test('a drain blocked by the database ends at its timeout, and changes nothing', async (t) => {
  const url = await createTestDatabase(await startTestPostgres(t))
  const dataDir = await temporaryDirectory(t)
  const place = ['--data-dir', dataDir, '--database-url', url]
  await writeSpool(dataDir, 0, [[rowNow('A', 1)], [rowNow('A', 2)]])
  t.match(await runIngest(['migrate', ...place]), { code: 0 })
  const db = await open(url)
  await db.query('BEGIN')
  await db.query('LOCK TABLE telemetry IN SHARE MODE')
  const held = await runIngest(['spool', 'drain', '--timeout', '1500ms', ...place])
  t.match(held, {
    code: 1,
    out: /^0 rows stored, 2 pending\nslot-0: 0 rows stored, 2 rows left$/m,
    err: /error: slot-0 was not emptied: [^]*Timed out after 1500ms \(--timeout\)\.\n$/
  })
  const stopped = startProgram(t, 'orbitstream-ingest', ['spool', 'drain', ...place])
  await once(stopped.child.stdout!, 'data')
  t.equal(await stopped.stop('SIGINT'), 1, 'Ctrl-C')
  t.match(stopped.stderr, /error: slot-0 was not emptied/)
  await db.query('ROLLBACK')
  await db.close()
  t.match(await runIngest(['spool', 'drain', ...place]), { code: 0 })
  t.same(await valuesIn(url), [1, 2])
})

t.test('damage, torn tails and an unreadable spool are reported; the embedded database is started', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const frames = range(1, 5).map((value) => [rowNow('A', value)])
  await writeSpool(dataDir, 0, frames)
  const directory = join(dataDir, 'spool', 'slot-0')
  const [name] = (await readdir(directory)).filter((file) => file.endsWith('.seg'))
  const path = join(directory, name!)
  const content = await readFile(path)
  const second = content.indexOf('OFRM', content.indexOf('OFRM') + 4)
  content[second + 60]! ^= 1
  await writeFile(path, content)
  await truncate(path, content.length - 3)
  await writeSpool(dataDir, 1, [[rowNow('B', 6)]])
  const lost = await writeSpool(dataDir, 2, [[rowNow('C', 7)]])
  t.match(lost, /^[0-9a-f]{32}$/)
  const third = join(dataDir, 'spool', 'slot-2')
  await writeFile(join(third, 'spool-id'), 'nonsense')
  for (const file of (await readdir(third)).filter((one) => one.endsWith('.seg'))) {
    const bytes = await readFile(join(third, file))
    await writeFile(join(third, file), bytes.fill(0, 0, bytes.indexOf('OFRM')))
  }

  const place = ['--data-dir', dataDir]
  const text = (await runIngest(['spool', 'inspect', ...place])).out
  t.match(text, `There is no database in ${dataDir} yet.`)
  t.match(text, /slot-0: spool [0-9a-f]{32}, 3 rows on disk in 3 frames/)
  t.match(text, /1 to 4 .*\d+ bytes damaged; \d+ bytes unfinished at the end/)
  t.match(text, /^ {2}DAMAGE: frames 2 to 2 of epoch \d+ cannot be read/m)
  t.match(text, /slot-2: spool unknown[^]*header damaged/)

  const drained = await runIngest(['spool', 'drain', ...place])
  t.match(drained, { code: 1, out: /^slot-0: 3 rows stored, empty\nslot-1: 1 row stored, empty\nslot-2: 0 rows/m })
  t.match(drained.out, /^slot-2: 0 rows stored, not opened$/m)
  t.match(drained.err, /error: slot-2 was not emptied: .* the spool id is lost: spool-id and all/)
  const after = await runIngest(['spool', 'inspect', '--json', ...place])
  t.match(toInspection(after).database, { reachable: false, reason: /embedded PostgreSQL is not running/ })
  const listed = await runIngest(['quarantine', 'list', ...place])
  t.equal(listed.out, 'The quarantine is empty.\n', 'the embedded database is started again')
})
