/**
 * The loss of the database's primary under load: its processes are killed, its data is deleted, and its synchronous
 * standby is promoted. Two programs know both addresses and are never restarted: one with a spool, one without. Each
 * round ends with a new standby at the lost one's address.
 */
import { conservationErrorPoints, drained } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../database/postgres.js'
import { startIngest, type Ingest } from '../programs/program.js'
import { lose, promote, startStandby } from '../database/standby.js'
import { withDatabase } from './verify.js'

const POINTS_BETWEEN = 500
const POINTS_PER_SECOND = 2_000
const POINTS_PER_REQUEST = 10
/** Numbers of a client's points begin at its index times this. */
const NUMBERS = 10_000_000

const CLIENTS = [
  { name: 'spooled', spoolDir: '', query: '' },
  { name: 'spool, ack=committed', spoolDir: '', query: '?ack=committed' },
  { name: 'SPOOL_DIR=off', spoolDir: 'off', query: '' }
] as const

export interface FailOverOptions {
  readonly rounds: number
  /** Prints a line per round. */
  readonly print: (line: string) => void
}

export interface FailOverVerdict extends Verdict {
  readonly acknowledged: number
  /** Requests that were not acknowledged, by client and cause. */
  readonly failures: Readonly<Record<string, number>>
  /** Longest time without an acknowledgement, by client. */
  readonly gapsMs: Readonly<Record<string, number>>
  readonly conservationErrorPoints: number
}

interface Pair {
  readonly primary: TestPostgres
  readonly standby: TestPostgres
}

export async function runFailOvers (owner: Owner, { rounds, print }: FailOverOptions): Promise<FailOverVerdict> {
  const primary = await startTestPostgres(owner, { fsync: true })
  let pair: Pair = { primary, standby: await startStandby(owner, primary, { synchronous: true }) }
  const databaseUrl = urlOf(pair)
  const start = async (spoolDir: string): Promise<Ingest> => await startIngest(owner, {
    dataDir: await temporaryDirectory(owner), databaseUrl, args: ['--workers', '1'], env: { SPOOL_DIR: spoolDir }
  })
  const programs = { '': await start(''), off: await start('off') }
  const clients = CLIENTS.map(({ spoolDir, query }, index) => new JournalClient({
    url: programs[spoolDir].url, pointsPerRequest: POINTS_PER_REQUEST, firstNumber: 1 + index * NUMBERS, query
  }))
  for (const client of clients) client.start(POINTS_PER_SECOND)
  for (let round = 1; round <= rounds; round++) {
    const { promoted, tookMs } = await failOver(pair, Object.values(programs), clients)
    const gaps = clients.map(({ longestGapMs }) => Math.round(longestGapMs)).join(', ')
    print(`round ${round} of ${rounds}: promoted after ${Math.round(tookMs)} ms; ` +
      `${count(clients)} points acknowledged, longest time without an acknowledgement ${gaps} ms`)
    if (round === rounds) return await verdict(promoted, Object.values(programs), clients)
    const port = Number(new URL(pair.primary.url).port)
    pair = { primary: promoted, standby: await startStandby(owner, promoted, { synchronous: true, port }) }
  }
  throw new RangeError('at least one round')
}

/** Of both servers. */
export function urlOf ({ primary, standby }: Pair): string {
  const [first, second] = [new URL(primary.url), new URL(standby.url)]
  return primary.url.replace(first.host, `${first.host},${second.host}`) + '?target_session_attrs=read-write'
}

/** Promotes only once every program has noticed, so that each meets a dead server and one that takes no writes. */
async function failOver (
  { primary, standby }: Pair, programs: readonly Ingest[], clients: readonly JournalClient[]
): Promise<{ promoted: TestPostgres, tookMs: number }> {
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(POINTS_BETWEEN)))
  const seen = programs.map(({ program }) => program.lines.length)
  const startMs = performance.now()
  await lose(primary)
  await Promise.all(programs.map(async ({ program }, index) =>
    await program.line(({ msg }) => msg?.startsWith('database writes are failing') === true, seen[index])))
  await promote(standby)
  const tookMs = performance.now() - startMs
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(POINTS_BETWEEN)))
  return { promoted: standby, tookMs }
}

async function verdict (
  postgres: TestPostgres, programs: readonly Ingest[], clients: readonly JournalClient[]
): Promise<FailOverVerdict> {
  await Promise.all(clients.map(async (client) => { await client.stop() }))
  let errorPoints = 0
  for (const { url, program } of programs) {
    await drained(url)
    errorPoints += await conservationErrorPoints(url)
    await program.stop()
  }
  return {
    ...await withDatabase(postgres, async (db) => await compareWithDatabase(db, clients)),
    acknowledged: count(clients),
    failures: Object.fromEntries(CLIENTS.flatMap(({ name }, index) =>
      [...clients[index]?.failures ?? []].map(([cause, times]) => [`${name}: ${cause}`, times]))),
    gapsMs: Object.fromEntries(CLIENTS.map(({ name }, index) => [name, clients[index]?.longestGapMs ?? 0])),
    conservationErrorPoints: errorPoints
  }
}

function count (clients: readonly JournalClient[]): number {
  return clients.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)
}
