/** `spool resolve`: the ledger goes to where the database ends, whatever it says; and where something is in its way. */
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { realFiles } from '../../lib/spool/file-system.js'
import { inspectSpool } from '../../lib/spool/operate/inspect.js'
import { lockDirectory } from '../../lib/host/data-directory.js'
import { runIngest, type Outcome } from '../support/programs/command.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import type { PlainRow } from '../support/points/rows.js'
import { open, range, valuesIn } from '../support/journals/spool-inspection.js'
import { rowNow, writeSpool } from '../support/journals/spool-writer.js'

t.setTimeout(200_000)
const server = await startTestPostgres(t)

class Site {
  private constructor (private readonly t: Test, readonly dataDir: string, readonly url: string) {}

  static async build (t: Test): Promise<Site> {
    return new Site(t, await temporaryDirectory(t), await createTestDatabase(server))
  }

  async run (...words: string[]): Promise<Outcome> {
    return await runIngest([...words, '--data-dir', this.dataDir, '--database-url', this.url])
  }

  async sql<Row extends object> (text: string): Promise<Row[]> {
    const db = await open(this.url)
    const { rows } = await db.query<Row>(text)
    await db.close()
    return rows
  }

  slot (number: number): string {
    return join(this.dataDir, 'spool', `slot-${number}`)
  }

  /** Frames that are stored and still on disk, as segments that come back with a crash. */
  async stored (slot: number, frames: ReadonlyArray<readonly PlainRow[]>): Promise<void> {
    await writeSpool(this.dataDir, slot, frames)
    const kept = join(this.dataDir, 'kept')
    await cp(this.slot(slot), kept, { recursive: true })
    this.t.match(await this.run('spool', 'drain'), { code: 0 })
    await cp(kept, this.slot(slot), { recursive: true })
    await rm(kept, { recursive: true })
  }

  /** Its last frame was stored: a ledger that does not stand there, in the first epoch on disk, is wrong. */
  async last (slot: number, sequence: number): Promise<Record<string, string>> {
    const { epoch } = (await inspectSpool(realFiles, this.slot(slot))).segments[0]!
    return { epoch: String(epoch), last_sequence: String(sequence) }
  }

  ledger (): Promise<Array<{ epoch: string, last_sequence: string, epoch_id: string | null }>> {
    return this.sql('SELECT epoch, last_sequence, epoch_id FROM ingest_ledger ORDER BY spool_id')
  }
}

const frames = (from: number, to: number): PlainRow[][] => range(from, to).map((value) => [rowNow('A', value)])

const WRONG = [
  { what: 'deleted', sql: 'DELETE FROM ingest_ledger', says: /FAULT \(ledger_missing\)/ },
  {
    what: 'set ahead',
    sql: 'UPDATE ingest_ledger SET last_sequence = last_sequence + 1000000',
    says: /FAULT \(ledger_ahead\)/
  },
  {
    what: 'moved by a copy',
    sql: "UPDATE ingest_ledger SET epoch = epoch + 1000000000, epoch_id = 'another'",
    says: /FAULT \(ledger_ahead\)/
  },
  {
    what: 'set back to a frame on disk',
    sql: 'UPDATE ingest_ledger SET last_sequence = 2',
    says: /the database has more points than its ledger says/
  }
]
for (const { what, sql, says } of WRONG) {
  t.test(`a row that was ${what} is set to the last stored frame, and waiting points are stored`, async (t) => {
    const site = await Site.build(t)
    await site.stored(0, frames(1, 9))
    await writeSpool(site.dataDir, 0, frames(10, 14))
    const [right] = await site.ledger()
    await site.sql(sql)
    const wrong = await site.ledger()
    const shown = await site.run('spool', 'resolve')
    t.match(shown, { code: 1, err: '', out: says })
    t.match(shown.out, /\n {2}The database has the points on disk up to epoch \d+, sequence 9, [79] rows\. After/)
    t.match(shown.out, /After that, 5 rows in 5 frames will be stored\.\n[^]*Nothing was changed: add --yes\.\n$/)
    t.same(await site.ledger(), wrong)
    const resolved = await site.run('spool', 'resolve', '--yes')
    t.match(resolved, { code: 0, err: '', out: /slot-0: the ledger is now at epoch \d+, sequence 9; the next start/ })
    t.match(resolved.out, /the next start, or spool drain, stores 5 rows\.\n$/)
    t.same(await site.ledger(), [right])
    t.match(right, await site.last(0, 9))
    t.match(await site.run('spool', 'resolve'), { code: 0, out: 'Every ledger that was checked fits its spool.\n' })
    t.match(await site.run('spool', 'drain'), { code: 0, out: /^slot-0: 5 rows stored, empty$/m })
    t.same(await valuesIn(site.url), range(1, 14), 'each once')
  })
}

t.test('an emptied database: what is on disk is stored, the rest is reported lost', async (t) => {
  const site = await Site.build(t)
  await writeSpool(site.dataDir, 0, frames(1, 3))
  t.match(await site.run('spool', 'drain'), { code: 0 })
  // A start with nothing waiting removes the segments of earlier runs.
  await site.stored(0, frames(4, 9))
  await site.sql('DELETE FROM ingest_ledger; DELETE FROM telemetry')
  const resolved = await site.run('spool', 'resolve', '--yes')
  t.match(resolved, { code: 0, out: /Points up to epoch \d+, sequence 3 are no longer on disk/ })
  t.match(resolved.out, /does not have the first of the points on disk\. After that, 6 rows in 6 frames/)
  t.match(await site.run('spool', 'drain'), { code: 0 })
  t.same(await valuesIn(site.url), range(4, 9))
})

t.test('points that would still be stored twice require another option', async (t) => {
  const site = await Site.build(t)
  const sent = frames(1, 4)
  await site.stored(0, sent)
  await writeSpool(site.dataDir, 0, [[sent[3]![0]!, rowNow('A', 5)]])
  await site.sql('DELETE FROM ingest_ledger; DELETE FROM telemetry WHERE storage_usage_mb = 3')
  const refused = await site.run('spool', 'resolve', '--yes')
  t.match(refused, {
    code: 1,
    out: /sequence 2, 2 rows\. After that, 4 rows in 3 frames will be stored\.\n {2}CAUTION: it also has 1 row identical/,
    err: /^error: slot-0 was not changed: the database seems to have some .* add --accept-twice\n$/
  })
  t.same(await site.ledger(), [])
  t.match(await site.run('spool', 'resolve', '--yes', '--accept-twice'), { code: 0, out: /, stores 4 rows\.\n$/ })
  t.match(await site.run('spool', 'drain'), { code: 0 })
  t.same(await valuesIn(site.url), [1, 2, 3, 4, 4, 4, 5])
})

t.test('unreadable slots and slots in use are reported, and do not affect the others', async (t) => {
  const site = await Site.build(t)
  await site.stored(0, frames(1, 3))
  await site.stored(1, frames(4, 6))
  await site.sql('DELETE FROM ingest_ledger')
  await writeFile(site.slot(7), 'not a directory')
  const inspected = await site.run('spool', 'inspect')
  t.match(inspected, { code: 1, err: '', out: /^slot-0: spool [^]*^slot-1: spool [^]*^slot-7: cannot be read: ENOT/m })
  t.match(inspected.out, /slot-7'\n\n3 rows in 3 frames pending in the slots that could be read\.\n$/)
  const json = await site.run('spool', 'inspect', '--json')
  const unreadable = [{ slot: 7, reason: /ENOTDIR/ }]
  t.match(JSON.parse(json.out), { waitingRows: 3, slots: [{ slot: 0 }, { slot: 1 }], unreadable })

  const lock = await lockDirectory(site.slot(0), 'spool slot')
  const resolved = await site.run('spool', 'resolve', '--yes')
  t.match(resolved, { code: 1, out: /^slot-1: the ledger is now at epoch \d+, sequence 3;/m })
  const inUse = `The spool slot .* is in use by process ${process.pid} on host `
  t.match(resolved.err, new RegExp(`^error: slot-0 was not changed: ${inUse}`, 'm'))
  t.match(resolved.err, /^error: slot-7 was not changed: ENOTDIR: .*slot-7'$/m)
  t.equal((await site.ledger()).length, 1, 'that of slot-1')
  lock.release()
  t.match(await site.run('spool', 'resolve', '--slot', '0', '--yes'), { code: 0, err: '' }, 'the others are not asked')
  const other = await site.run('spool', 'resolve', '--slot', '9')
  t.match(other, { code: 1, out: '', err: /^error: there is no slot-9 in / })
})

t.test('neither resolve nor drain changes what the server settings decide', async (t) => {
  const site = await Site.build(t)
  await writeSpool(site.dataDir, 0, frames(1, 3))
  t.match(await site.run('migrate'), { code: 0 })
  // What `migrate` would make good again; on TimescaleDB it would bring retention to the default, too.
  await site.sql('REVOKE SELECT ON telemetry FROM orbitstream_reader')
  for (const words of [['resolve'], ['drain']]) t.match(await site.run('spool', ...words), { code: 0 })
  const rights = "SELECT has_table_privilege('orbitstream_reader', 'telemetry', 'SELECT') AS may"
  t.same(await site.sql(rights), [{ may: false }])
  for (const word of ['resolve', 'drain']) {
    t.match(await site.run('spool', word, '--retention', '1d'), { code: 2, err: /unknown option --retention/ })
  }
  t.same(await valuesIn(site.url), [1, 2, 3])
})
