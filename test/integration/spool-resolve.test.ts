/** `spool resolve` and `spool inspect` where something is in their way, and where the spool does not know all itself. */
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Position } from '../../lib/journal/journal.js'
import { realFiles } from '../../lib/spool/files.js'
import { inspectSpool } from '../../lib/spool/operate/inspect.js'
import { NOTE_START, writeLedgerNote } from '../../lib/spool/recover/ledger-note.js'
import { lockDirectory } from '../../lib/host/data-directory.js'
import { runIngest, type Outcome } from '../support/command.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/postgres.js'
import type { PlainRow } from '../support/rows.js'
import { open, range, valuesIn } from '../support/spool-inspection.js'
import { rowNow, writeSpool } from '../support/spool-writer.js'

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
  async stored (slot: number, frames: ReadonlyArray<readonly PlainRow[]>): Promise<{ spoolId: string, epoch: number }> {
    const spoolId = await writeSpool(this.dataDir, slot, frames)
    const kept = join(this.dataDir, 'kept')
    await cp(this.slot(slot), kept, { recursive: true, filter: (path) => !path.endsWith('in-ledger') })
    this.t.match(await this.run('spool', 'drain'), { code: 0 })
    await cp(kept, this.slot(slot), { recursive: true })
    await rm(kept, { recursive: true })
    return { spoolId, epoch: (await inspectSpool(realFiles, this.slot(slot))).segments[0]?.epoch ?? 0 }
  }

  /** What a power cut leaves of the note: a position that is older than the segments. */
  async cutPower (slot: number, spoolId: string, committed: Position): Promise<void> {
    await writeLedgerNote(realFiles, this.slot(slot), spoolId, { ...NOTE_START, given: true, committed, sent: committed, sentExact: false, rows: committed.sequence })
  }

  ledger (): Promise<Array<{ epoch: string, last_sequence: string, rows_total: string }>> {
    return this.sql('SELECT epoch, last_sequence, rows_total FROM ingest_ledger ORDER BY spool_id')
  }
}

const frames = (from: number, to: number): PlainRow[][] => range(from, to).map((value) => [rowNow('A', value)])

/** Nine frames are stored, of which the spool still knows two, and five wait. */
async function afterPowerCut (t: Test): Promise<{ site: Site, epoch: number }> {
  const site = await Site.build(t)
  const { spoolId, epoch } = await site.stored(0, frames(1, 9))
  await site.cutPower(0, spoolId, { epoch, sequence: 2 })
  await writeSpool(site.dataDir, 0, frames(10, 14))
  return { site, epoch }
}

t.test('the row is deleted after a power cut: what the database has is not stored again, what waits is', async (t) => {
  const { site, epoch } = await afterPowerCut(t)
  await site.sql('DELETE FROM ingest_ledger')
  const shown = await site.run('spool', 'resolve')
  t.match(shown, { code: 1, err: '', out: /\n {2}9 rows in 9 frames on disk are in question: after epoch 0, sequence 0, up to epoch \d+, sequence 9\./ })
  t.match(shown.out, /What the spool noted of frames after epoch \d+, sequence 2, up to epoch \d+, sequence 5, is lost, as it is after a power cut\. So the database was searched for them: it has those up to epoch \d+, sequence 9, 7 rows\.\n {2}5 rows in 5 frames behind/)
  t.match(await site.run('spool', 'resolve', '--store-again', '--yes'), { code: 1, err: /^error: slot-0 was left as it is: --store-again would store points a second time .* Is --already-stored meant\?/ })
  t.same(await site.ledger(), [])
  t.match(await site.run('spool', 'resolve', '--already-stored', '--yes'), { code: 0, err: '', out: /spool drain, stores 5 rows\.\n$/ })
  t.match(await site.ledger(), [{ epoch: String(epoch), last_sequence: '9', rows_total: '9' }])
  t.match(await site.run('spool', 'drain'), { code: 0, out: /^slot-0: 5 rows stored, empty$/m })
  t.same(await valuesIn(site.url), range(1, 14), 'each once')
})

t.test('the row is set ahead after a power cut: storing again begins where the database ends', async (t) => {
  const { site } = await afterPowerCut(t)
  await site.sql('UPDATE ingest_ledger SET epoch = epoch + 1000000000')
  t.match(await site.run('spool', 'resolve', '--store-again', '--yes'), { code: 0, err: '', out: /FAULT \(ledger_ahead\)[^]*, stores 5 rows\.\n$/ })
  t.match(await site.run('spool', 'drain'), { code: 0 })
  t.same(await valuesIn(site.url), range(1, 14), 'each once')
})

t.test('points that would be stored twice all the same need one more word', async (t) => {
  const site = await Site.build(t)
  const sent = frames(1, 4)
  const { spoolId, epoch } = await site.stored(0, sent)
  await site.cutPower(0, spoolId, { epoch, sequence: 2 })
  await writeSpool(site.dataDir, 0, [[sent[3]![0]!, rowNow('A', 5)]])
  await site.sql('DELETE FROM ingest_ledger; DELETE FROM telemetry WHERE storage_usage_mb = 3')
  const refused = await site.run('spool', 'resolve', '--already-stored', '--yes')
  t.match(refused, { code: 1, out: /it does not have the first of them\.\n {2}CAUTION: it also has 1 row like some of the frames behind/, err: /^error: slot-0 was left as it is: --already-stored would store points a second time .* add --accept-twice\.\n$/ })
  t.same(await site.ledger(), [])
  t.match(await site.run('spool', 'resolve', '--already-stored', '--yes', '--accept-twice'), { code: 0, out: /, stores 4 rows\.\n$/ })
  t.match(await site.run('spool', 'drain'), { code: 0 })
  t.same(await valuesIn(site.url), [1, 2, 3, 4, 4, 4, 5])
})

t.test('a transaction whose end nobody saw is looked up, and found', async (t) => {
  const site = await Site.build(t)
  const { spoolId, epoch } = await site.stored(0, frames(1, 6))
  await writeLedgerNote(realFiles, site.slot(0), spoolId, { ...NOTE_START, given: true, committed: { epoch, sequence: 4 }, sent: { epoch, sequence: 6 }, rows: 4, sentRows: 2 })
  await site.sql('UPDATE ingest_ledger SET last_sequence = 3')
  t.match(await site.run('spool', 'resolve', '--already-stored', '--yes'), { code: 0, out: /were given to the database, and its answer did not come\. So the database was searched for them: it has those up to epoch \d+, sequence 6, 2 rows\.[^]*, stores 0 rows\.\n$/ })
  t.match(await site.run('spool', 'resolve'), { code: 0, out: /fits/ })
  t.match(await site.run('spool', 'drain'), { code: 0 })
  t.same(await valuesIn(site.url), range(1, 6))
})

t.test('slots that cannot be read, or are in use, are named and keep nobody from the others', async (t) => {
  const site = await Site.build(t)
  await site.stored(0, frames(1, 3))
  await site.stored(1, frames(4, 6))
  await site.sql('DELETE FROM ingest_ledger')
  await writeFile(site.slot(7), 'not a directory')
  const inspected = await site.run('spool', 'inspect')
  t.match(inspected, { code: 1, err: '', out: /^slot-0: spool [^]*^slot-1: spool [^]*^slot-7: cannot be read: ENOTDIR: .*slot-7'\n\n3 rows in 3 frames wait to be stored in the slots that could be read\.\n$/m })
  const json = await site.run('spool', 'inspect', '--json')
  t.match(JSON.parse(json.out), { waitingRows: 3, slots: [{ slot: 0 }, { slot: 1 }], unreadable: [{ slot: 7, reason: /ENOTDIR/ }] })

  const lock = await lockDirectory(site.slot(0), 'spool slot')
  const note = await readFile(join(site.slot(0), 'in-ledger'))
  const resolved = await site.run('spool', 'resolve', '--already-stored', '--yes')
  t.match(resolved, { code: 1, out: /^slot-1: the ledger stands at epoch \d+, sequence 3 now/m })
  t.match(resolved.err, new RegExp(`^error: slot-0 was left as it is: The spool slot .* is in use by process ${process.pid} on host `, 'm'))
  t.match(resolved.err, /^error: slot-7 was left as it is: ENOTDIR: .*slot-7'$/m)
  t.equal((await site.ledger()).length, 1, 'that of slot-1')
  t.ok(note.equals(await readFile(join(site.slot(0), 'in-ledger'))))
  lock.release()
  t.match(await site.run('spool', 'resolve', '--slot', '0', '--already-stored', '--yes'), { code: 0, err: '' }, 'the others are not asked')
  t.match(await site.run('spool', 'resolve', '--slot', '9'), { code: 1, out: '', err: /^error: there is no slot-9 in / })
})

t.test('neither resolve nor drain changes what follows the settings of the server', async (t) => {
  const site = await Site.build(t)
  await writeSpool(site.dataDir, 0, frames(1, 3))
  t.match(await site.run('migrate'), { code: 0 })
  // What `migrate` would make good again; on TimescaleDB it would bring retention to the default, too.
  await site.sql('REVOKE SELECT ON telemetry FROM orbitstream_reader')
  for (const words of [['resolve'], ['drain']]) t.match(await site.run('spool', ...words), { code: 0 })
  t.same(await site.sql("SELECT has_table_privilege('orbitstream_reader', 'telemetry', 'SELECT') AS may"), [{ may: false }])
  for (const words of [['resolve'], ['drain']]) t.match(await site.run('spool', ...words, '--retention', '1d'), { code: 2, err: /unknown option --retention/ })
  t.same(await valuesIn(site.url), [1, 2, 3])
})
