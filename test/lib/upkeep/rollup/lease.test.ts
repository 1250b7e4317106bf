import t from 'tap'
import { FillLease } from '../../../../lib/upkeep/rollup/lease.js'
import { migrated } from '../../../support/database/migrated.js'
import { createTestDatabase, startTestPostgres } from '../../../support/database/postgres.js'

const server = await startTestPostgres(t)

t.test('a lease from before the clock was set back keeps nobody from refilling', async t => {
  const database = await migrated(t, await createTestDatabase(server))
  const holdUntil = async (until: string): Promise<unknown> => (
    await database.query(`UPDATE rollup_filler SET holder = 'gone', expires_at = ${until}`))
  await holdUntil("now() + interval '50 seconds'")
  t.notOk(await new FillLease().take(database), 'its holder may be at work')
  await holdUntil("now() + interval '1 day'")
  t.ok(await new FillLease().take(database))
})
