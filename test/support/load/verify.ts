/** The verdict of a fault test: its clients' journals against the database. */
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { compareWithDatabase, type JournalClient } from './journal-client.js'
import type { TestPostgres } from '../database/postgres.js'

/** Runs statements on the test's database over a separate connection. */
export async function withDatabase<T> (
  { url }: Pick<TestPostgres, 'url'>, work: (db: Database) => Promise<T>
): Promise<T> {
  const db = await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}

/** Everything acknowledged is stored, nothing twice, nothing that was never sent. */
export async function verify (
  t: Test, postgres: Pick<TestPostgres, 'url'>, clients: readonly JournalClient[]
): Promise<void> {
  const verdict = await withDatabase(postgres, async (db) => await compareWithDatabase(db, clients))
  const { stored, missing, twice, invented } = verdict
  const first = (numbers: readonly number[]): readonly number[] => numbers.slice(0, 5)
  const counts = { missing: missing.length, twice: twice.length, invented: invented.length }
  const examples = { missing: first(missing), twice: first(twice), invented: first(invented) }
  t.same(counts, { missing: 0, twice: 0, invented: 0 }, `of ${stored} stored; ${JSON.stringify(examples)}`)
}
