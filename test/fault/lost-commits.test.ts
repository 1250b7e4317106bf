/** COMMIT or its answer lost or late on the way: no point is stored twice, none is missing. */
import t from 'tap'
import { within } from '../support/eventually.js'
import { conservationErrorPoints, drained } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { TcpProxy, type Treatment } from '../support/faults/tcp-proxy.js'
import { verify } from '../support/load/verify.js'

const TREATMENTS: readonly Treatment[] = ['answer lost', 'commit late', 'commit lost', 'answer late']
const TIMES = 4
const TREATED_DEADLINE_MS = 60_000

t.setTimeout(300_000)
for (const spoolDir of ['', 'off']) {
  const journal = spoolDir === '' ? 'with a spool' : 'SPOOL_DIR=off'
  t.test(`COMMIT lost on the way, ${journal}: points are stored exactly once`, async (t) => {
    const postgres = await startTestPostgres(t)
    const proxy = await TcpProxy.start(t, postgres.url, 'orbitstream worker')
    const ingest = await startIngest(
      t,
      {
        dataDir: await temporaryDirectory(t),
        databaseUrl: proxy.url,
        args: ['--workers', '2'],
        env: { SPOOL_DIR: spoolDir }
      })
    const client = new JournalClient({ url: ingest.url, pointsPerRequest: 20 })
    client.start()
    for (let time = 0; time < TIMES; time++) {
      for (const treatment of TREATMENTS) {
        await client.acknowledgedMore(200)
        await within(`a COMMIT is treated: ${treatment}`, TREATED_DEADLINE_MS, proxy.treatNextCommit(treatment))
      }
    }
    await client.acknowledgedMore(200)
    await client.stop()
    t.same([...client.failures], [], 'every point was accepted')
    const { points } = await drained(ingest.url)
    t.equal(points['committed'], client.acknowledged.size)
    t.equal(await conservationErrorPoints(ingest.url), 0)
    t.equal(await ingest.program.stop(), 0)
    await verify(t, postgres, [client])
  })
}
