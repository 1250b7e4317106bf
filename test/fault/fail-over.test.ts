/** The database's primary lost with its disk under load, its standby promoted. More rounds: npm run test:soak. */
import t from 'tap'
import { runFailOvers, urlOf } from '../support/load/fail-over.js'
import { conservationErrorPoints, drained } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { isolate, lose, promote, startStandby } from '../support/database/standby.js'
import { verify } from '../support/load/verify.js'

t.setTimeout(300_000)
t.test('primary lost, standby promoted: acknowledged points are stored, none twice, without a restart', async (t) => {
  const verdict = await runFailOvers(t, { rounds: 1, print: (line) => t.comment(line) })
  const { missing, twice, invented, conservationErrorPoints } = verdict
  t.same({ missing, twice, invented, conservationErrorPoints },
    { missing: [], twice: [], invented: [], conservationErrorPoints: 0 }, `of ${verdict.acknowledged} acknowledged`)
  const spooled = Object.keys(verdict.failures).filter((cause) => cause.startsWith('spool'))
  t.same(spooled, [], 'with a spool no request fails')
  t.comment(verdict.failures, verdict.gapsMs)
})

t.test('the promoted standby lacks commits: they are stored again from disk, without a restart', async (t) => {
  const primary = await startTestPostgres(t)
  const standby = await startStandby(t, primary, { synchronous: false })
  const databaseUrl = urlOf({ primary, standby })
  const dataDir = await temporaryDirectory(t)
  const ingest = await startIngest(t, { dataDir, databaseUrl, args: ['--workers', '1'] })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 10 })
  client.start(1_000)
  await client.acknowledgedMore(300)
  await isolate(standby, primary)
  await client.acknowledgedMore(300)
  await lose(primary)
  await promote(standby)
  const line = await ingest.program.line(({ level }) => level === 'fatal')
  t.match(line, { kind: 'ledger_behind', msg: /is at epoch \d+, sequence \d+, but frames up to epoch \d+, sequence/ })
  t.match(line.msg, /a new process stores them again/)
  await client.acknowledgedMore(100)
  await client.stop()
  const { reasons } = await drained(ingest.url)
  t.match(reasons, [/^worker 0 was restarted after the database lost commits/])
  t.equal(await conservationErrorPoints(ingest.url), 0)
  t.equal(await ingest.program.stop(), 0)
  await verify(t, standby, [client])
})
