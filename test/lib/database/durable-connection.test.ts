/** What is told to be stored must survive a crash of PostgreSQL, also where its owner made it quicker. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { connectDurably } from '../../../lib/database/durable-connection.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'

const OPTIONS = { applicationName: 'test', connectTimeoutMs: 10_000 }
const server = await startTestPostgres(t)

for (const [given, expected] of [['off', 'on'], ['local', 'local'], ['remote_apply', 'remote_apply']] as const) {
  t.test(`synchronous_commit ${given} becomes ${expected}`, async (t) => {
    const url = await createTestDatabase(server)
    const owner = await connect(url, OPTIONS)
    await owner.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = ${given}`)
    await owner.close()
    const database = await connectDurably(url, OPTIONS)
    t.same((await database.query('SHOW synchronous_commit')).rows, [{ synchronous_commit: expected }])
    t.same(
      (await database.query('SHOW idle_in_transaction_session_timeout')).rows,
      [{ idle_in_transaction_session_timeout: '1min' }])
    await database.close()
  })
}
