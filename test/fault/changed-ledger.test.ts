/**
 * A ledger row that is changed while no program runs: set ahead, or restored with the database. The next start, and
 * every one after it, stores nothing until `spool resolve` has looked up what the database has.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { runIngest, type Outcome } from '../support/programs/command.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { toInspection } from '../support/journals/spool-inspection.js'
import { verify, withDatabase } from '../support/load/verify.js'

t.setTimeout(600_000)

class Site {
  readonly clients: JournalClient[] = []
  private nextNumber = 1
  private constructor (private readonly t: Test, readonly postgres: TestPostgres, readonly dataDir: string) {}

  static async build (t: Test): Promise<Site> {
    return new Site(t, await startTestPostgres(t), await temporaryDirectory(t))
  }

  async start (): Promise<Ingest> {
    const { t, dataDir, postgres } = this
    return await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] })
  }

  /** Sends at least `count` points, one per request; returns how many were acknowledged. */
  async send ({ url }: Ingest, count: number): Promise<number> {
    const client = new JournalClient({ url, pointsPerRequest: 1, firstNumber: this.nextNumber })
    this.nextNumber += 1_000_000
    this.clients.push(client)
    client.start(1_000)
    await client.acknowledgedMore(count)
    await client.stop()
    this.t.same([...client.failures], [], 'everything sent is acknowledged')
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

  /** Two starts in a row report the fault, accept points and store nothing. */
  async refusesTwice (kind: string): Promise<void> {
    const { t } = this
    const before = await this.storedRows()
    for (const which of ['the first', 'the second']) {
      const ingest = await this.start()
      const line = await ingest.program.line((line) => line['level'] === 'fatal')
      t.equal(line['kind'], kind, `${which} start reports it`)
      t.match(line.msg, /spool resolve/)
      await this.send(ingest, 20)
      t.equal((await readHealth(ingest.url)).status, 'degraded')
      t.equal(await ingest.program.stop(), 0)
    }
    t.equal(await this.storedRows(), before, 'nothing is stored')
    const inspection = toInspection(await this.spool('inspect', '--json'))
    t.match(inspection, { slots: [{ fault: { kind } }] }, 'so does inspect')
    t.match(await this.spool('drain'), { code: 1, err: /spool resolve/ }, 'and drain')
  }

  async goesOn (): Promise<void> {
    const ingest = await this.start()
    await drained(ingest.url)
    await this.send(ingest, 20)
    await drained(ingest.url)
    this.t.equal(await ingest.program.stop(), 0)
  }

  async storedRows (): Promise<number> {
    return await withDatabase(this.postgres, async (db) => {
      const { rows } = await db.query<{ count: string }>('SELECT count(*) FROM telemetry')
      return Number(rows[0]?.count)
    })
  }
}

t.test('set ahead while stopped: no waiting point is lost', async (t) => {
  const site = await Site.build(t)
  const ingest = await site.start()
  await site.send(ingest, 100)
  await drained(ingest.url)
  await site.postgres.stop()
  await site.send(ingest, 200)
  await ingest.program.stop('SIGKILL')
  await site.postgres.start()
  await site.sql('UPDATE ingest_ledger SET last_sequence = last_sequence + 1000000')
  await site.refusesTwice('ledger_ahead')
  t.match(await site.spool('resolve', '--yes'), { code: 0 })
  await site.goesOn()
  await verify(t, site.postgres, site.clients)
})

t.test('a database restored from a backup: what is on disk is stored again, the rest is reported lost', async (t) => {
  const site = await Site.build(t)
  const { postgres } = site
  const [live, backup] = [join(postgres.dataDir, '.'), join(await temporaryDirectory(t), 'backup')]
  const run = promisify(execFile)
  const copy = async (from: string, to: string): Promise<void> => { await run('cp', ['-a', '-T', from, to]) }
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
  // A start with nothing waiting removes the segments of earlier runs.
  ingest = await site.start()
  const again = await site.send(ingest, 80)
  await drained(ingest.url)
  t.equal(await ingest.program.stop(), 0)

  await postgres.stop()
  await run('rm', ['-rf', live])
  await copy(backup, live)
  await postgres.start()
  t.equal(await site.storedRows(), saved)
  const out = new RegExp('no longer on disk[^]*does not have the first of the points on disk\\. ' +
    `After that, ${again} rows in \\d+ frames`)
  t.match(await site.spool('resolve', '--yes'), { code: 0, out })
  t.match(await site.spool('drain'), { code: 0, out: new RegExp(`slot-0: ${again} rows stored`) })
  t.equal(await site.storedRows(), saved + again)
  const [lost] = site.clients.splice(1, 1)
  t.equal(lost?.acknowledged.size, gone)
  await site.goesOn()
  await verify(t, postgres, site.clients)
})
