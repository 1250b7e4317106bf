/**
 * A ledger row that is changed while no program runs, to a place that the segments on disk know: set back, set ahead, or
 * restored with the whole database. The next start, and every one after it, stores nothing until `spool resolve` was
 * told which of the two is true.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { runIngest, type Outcome } from '../support/command.js'
import { drained, readHealth } from '../support/health.js'
import { JournalClient } from '../support/journal-client.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/postgres.js'
import { startIngest, type Ingest } from '../support/program.js'
import { toInspection } from '../support/spool-inspection.js'
import { verify, withDatabase } from '../support/verify.js'

t.setTimeout(600_000)

class Site {
  readonly clients: JournalClient[] = []
  private nextNumber = 1
  private constructor (private readonly t: Test, readonly postgres: TestPostgres, readonly dataDir: string) {}

  static async build (t: Test): Promise<Site> {
    return new Site(t, await startTestPostgres(t), await temporaryDirectory(t))
  }

  async start (): Promise<Ingest> {
    return await startIngest(this.t, { dataDir: this.dataDir, databaseUrl: this.postgres.url, args: ['--workers', '1'] })
  }

  /** Sends at least `count` points, one a request; gives how many were acknowledged. */
  async send ({ url }: Ingest, count: number): Promise<number> {
    const client = new JournalClient({ url, pointsPerRequest: 1, firstNumber: this.nextNumber })
    this.nextNumber += 1_000_000
    this.clients.push(client)
    client.start(1_000)
    await client.acknowledgedMore(count)
    await client.stop()
    this.t.same([...client.failures], [], 'all that was sent is acknowledged')
    return client.acknowledged.size
  }

  /** Starts with at least `count` points that are in the database. */
  async startWith (count: number): Promise<Ingest> {
    const ingest = await this.start()
    await this.send(ingest, count)
    await drained(ingest.url)
    return ingest
  }

  async sql (text: string): Promise<void> {
    await withDatabase(this.postgres, async (db) => await db.query(text))
  }

  async spool (...words: string[]): Promise<Outcome> {
    return await runIngest(['spool', ...words, '--data-dir', this.dataDir, '--database-url', this.postgres.url])
  }

  /** Two starts in a row say the same, take points on and store nothing. */
  async refusesTwice (kind: string): Promise<void> {
    const { t } = this
    const before = await this.storedRows()
    for (const which of ['the first', 'the second']) {
      const ingest = await this.start()
      const line = await ingest.program.line((line) => line['level'] === 'fatal')
      t.equal(line['kind'], kind, `${which} start says it`)
      t.match(line.msg, /spool resolve/)
      await this.send(ingest, 20)
      t.equal((await readHealth(ingest.url)).status, 'degraded')
      t.equal(await ingest.program.stop(), 0)
    }
    t.equal(await this.storedRows(), before, 'nothing is stored')
    t.match(toInspection(await this.spool('inspect', '--json')), { slots: [{ fault: { kind } }] }, 'inspect says it too')
    t.match(await this.spool('drain'), { code: 1, err: /spool resolve/ }, 'drain refuses it too')
  }

  async goesOn (): Promise<void> {
    const ingest = await this.start()
    await drained(ingest.url)
    await this.send(ingest, 20)
    await drained(ingest.url)
    this.t.equal(await ingest.program.stop(), 0)
  }

  async storedRows (): Promise<number> {
    return await withDatabase(this.postgres, async (db) => Number((await db.query<{ count: string }>('SELECT count(*) FROM telemetry')).rows[0]?.count))
  }
}

t.test('set back after a kill, inside the oldest segment: nothing is stored twice', async (t) => {
  const site = await Site.build(t)
  const ingest = await site.startWith(300)
  await ingest.program.stop('SIGKILL')
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence - 20')
  await site.refusesTwice('ledger_behind')
  const shown = await site.spool('resolve')
  t.match(shown, { code: 1, out: /--store-again[^]*--already-stored/ }, 'shows both ways, changes nothing')
  t.match(await site.spool('resolve', '--already-stored'), { code: 1, out: /--yes/ }, 'asks first')
  t.match(await site.spool('resolve', '--already-stored', '--yes'), { code: 0 })
  t.match(await site.spool('resolve'), { code: 0, out: /fits/ }, 'nothing is left to do')
  await site.goesOn()
  await verify(t, site.postgres, site.clients)
})

t.test('set ahead while stopped, inside what waits: nothing that waits is lost', async (t) => {
  const site = await Site.build(t)
  const ingest = await site.startWith(100)
  await site.postgres.stop()
  await site.send(ingest, 200)
  await ingest.program.stop('SIGKILL')
  await site.postgres.start()
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence + 5')
  await site.refusesTwice('ledger_ahead')
  t.match(await site.spool('resolve', '--store-again', '--yes'), { code: 0 })
  await site.goesOn()
  await verify(t, site.postgres, site.clients)
})

t.test('set ahead while it runs, and not corrected: every later start says so too', async (t) => {
  const site = await Site.build(t)
  const ingest = await site.startWith(100)
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence + 1000000')
  await site.send(ingest, 100)
  t.equal((await ingest.program.line((line) => line['level'] === 'fatal'))['kind'], 'ledger_ahead')
  t.equal(await ingest.program.stop(), 0)
  await site.refusesTwice('ledger_ahead')
  t.match(await site.spool('resolve', '--store-again', '--yes'), { code: 0 })
  await site.goesOn()
  await verify(t, site.postgres, site.clients)
})

t.test('a row that is put right by hand needs no command', async (t) => {
  const site = await Site.build(t)
  const ingest = await site.startWith(100)
  t.equal(await ingest.program.stop(), 0)
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence - 5')
  await site.refusesTwice('ledger_behind')
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence + 5')
  await site.goesOn()
  await verify(t, site.postgres, site.clients)
})

t.test('a database restored from a backup: what is on disk is stored again, what is gone is counted', async (t) => {
  const site = await Site.build(t)
  const { postgres } = site
  const [live, backup] = [join(postgres.dataDir, '.'), join(await temporaryDirectory(t), 'backup')]
  const copy = async (from: string, to: string): Promise<void> => { await promisify(execFile)('cp', ['-a', '-T', from, to]) }
  let ingest = await site.start()
  const saved = await site.send(ingest, 100)
  await drained(ingest.url)
  await postgres.stop()
  await copy(live, backup)
  await postgres.start()
  await drained(ingest.url)
  const gone = await site.send(ingest, 60)
  await drained(ingest.url)
  t.equal(await ingest.program.stop(), 0)
  // A start with all stored removes the segments of the runs before.
  ingest = await site.start()
  const again = await site.send(ingest, 80)
  await drained(ingest.url)
  t.equal(await ingest.program.stop(), 0)

  await postgres.stop()
  await promisify(execFile)('rm', ['-rf', live])
  await copy(backup, live)
  await postgres.start()
  t.equal(await site.storedRows(), saved)
  const shown = await site.spool('resolve')
  t.equal(shown.code, 1)
  t.match(shown.out, new RegExp(`${again} rows in \\d+ frames[^]*${gone} rows`), 'the exact numbers of both')
  t.match(await site.spool('resolve', '--store-again', '--yes'), { code: 0 })
  t.match(await site.spool('drain'), { code: 0, out: new RegExp(`slot-0: ${again} rows stored`) })
  t.equal(await site.storedRows(), saved + again)
  const [lost] = site.clients.splice(1, 1)
  t.equal(lost?.acknowledged.size, gone)
  await site.goesOn()
  await verify(t, postgres, site.clients)
})
