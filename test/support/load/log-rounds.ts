/**
 * Faults of the replicated log under load, one a round: three log servers, two ingest hosts. At the end every
 * acknowledged point must be in the database exactly once, nobody having done anything.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { eventually } from '../eventually.js'
import { conservationErrorPoints, drained, readHealth } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import { findNatsServer, NatsCluster, NO_NATS_SERVER } from '../deploy/nats-cluster.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../database/postgres.js'
import { startIngest, type Ingest } from '../programs/program.js'
import { withDatabase } from './verify.js'

const POINTS_BETWEEN = 100
const POINTS_PER_SECOND = 1_000
/** Numbers of a client's points begin at its index times this. */
const NUMBERS = 100_000_000
const TAKEOVER_MS = 5_000
/** Longer than a take-over needs: unseen, claimed, quiet, sealed. */
const PAUSE_MS = 16_000
const TAKEN_OVER_DEADLINE_MS = 120_000

const FAULTS = [
  'a log server is killed', 'two log servers are killed', 'all log servers are killed', 'a worker is killed',
  'a host is lost for good', 'a host is paused past take-over', 'the database is away'
] as const

const SERVERS_KILLED: Readonly<Partial<Record<typeof FAULTS[number], number>>> = {
  'a log server is killed': 1, 'two log servers are killed': 2, 'all log servers are killed': 3
}

export interface LogRoundsVerdict extends Verdict {
  readonly acknowledged: number
  readonly conservationErrorPoints: number
  /** Longest time without an acknowledgement, by client. */
  readonly gapsMs: readonly number[]
}

/** @param print called with a line per round */
export async function runLogRounds (
  owner: Owner, { rounds, print }: { readonly rounds: number, readonly print: (line: string) => void }
): Promise<LogRoundsVerdict> {
  const program = await findNatsServer()
  if (program === null) throw new Error(NO_NATS_SERVER)
  const cluster = await NatsCluster.start(program)
  owner.teardown(async () => { await cluster.stop() })
  return await new LogRounds(owner, cluster, await startTestPostgres(owner, { fsync: true }), print).run(rounds)
}

class LogRounds {
  private readonly hosts: Ingest[] = []
  private readonly clients: JournalClient[] = []
  private lanesLost = 0

  constructor (
    private readonly owner: Owner,
    private readonly cluster: NatsCluster,
    private readonly postgres: TestPostgres,
    private readonly print: (line: string) => void
  ) {}

  async run (rounds: number): Promise<LogRoundsVerdict> {
    for (const index of [0, 1]) {
      const host = await this.startHost()
      this.hosts.push(host)
      const client = new JournalClient({ url: host.url, pointsPerRequest: 10, firstNumber: 1 + index * NUMBERS })
      this.clients.push(client)
      client.start(POINTS_PER_SECOND)
    }
    for (let round = 1; round <= rounds; round++) {
      const fault = FAULTS[(round - 1) % FAULTS.length] ?? FAULTS[0]
      await this.acknowledgedMore()
      await this.inject(fault, round % 2, round)
      await this.acknowledgedMore()
      this.print(`round ${round} of ${rounds}: ${fault}; ${this.acknowledged} points acknowledged`)
    }
    return await this.verdict()
  }

  private get acknowledged (): number {
    return this.clients.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)
  }

  private async acknowledgedMore (): Promise<void> {
    await Promise.all(this.clients.map(async (client) => { await client.acknowledgedMore(POINTS_BETWEEN) }))
  }

  private async startHost (): Promise<Ingest> {
    const place = ['--spool-dir', this.cluster.url, '--log-takeover', `${TAKEOVER_MS}ms`]
    return await startIngest(this.owner, {
      dataDir: await temporaryDirectory(this.owner), databaseUrl: this.postgres.url, args: ['--workers', '1', ...place]
    })
  }

  private async inject (fault: typeof FAULTS[number], which: number, round: number): Promise<void> {
    const host = this.hosts[which] as Ingest
    const servers = SERVERS_KILLED[fault]
    if (servers !== undefined) {
      await this.killServers(Array.from({ length: servers }, (_, index) => (round + index) % 3))
    } else if (fault === 'a worker is killed') {
      await killWorker(host)
      this.lanesLost++
    } else if (fault === 'a host is lost for good') {
      await this.loseHost(which)
    } else if (fault === 'a host is paused past take-over') {
      await this.pauseHost(host, 1 - which)
    } else {
      await this.postgres.kill()
      await this.acknowledgedMore()
      await this.postgres.start()
    }
  }

  private async killServers (indexes: readonly number[]): Promise<void> {
    for (const index of indexes) await this.cluster.kill(index)
    if (indexes.length === 1) await this.acknowledgedMore()
    for (const index of indexes) this.cluster.startNode(index)
    await this.cluster.healthy()
  }

  /** Another one takes its place, with a DATA_DIR of its own. */
  private async loseHost (which: number): Promise<void> {
    const host = this.hosts[which] as Ingest
    for (const pid of await processesOf(host)) process.kill(pid, 'SIGKILL')
    await host.program.exit
    this.lanesLost++
    this.hosts[which] = await this.startHost()
    this.clients[which]?.moveTo(this.hosts[which].url)
  }

  private async pauseHost (host: Ingest, other: number): Promise<void> {
    const pids = await processesOf(host)
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    // The time that a host needs to be given up is what is tested here.
    await Promise.all([delay(PAUSE_MS), this.clients[other]?.acknowledgedMore(POINTS_BETWEEN)])
    for (const pid of pids.toReversed()) process.kill(pid, 'SIGCONT')
  }

  private async verdict (): Promise<LogRoundsVerdict> {
    await Promise.all(this.clients.map(async (client) => { await client.stop() }))
    await lanesDrained(this.postgres, { writers: this.hosts.length, lost: this.lanesLost })
    let errorPoints = 0
    for (const { url } of this.hosts) {
      await drained(url)
      errorPoints += await conservationErrorPoints(url)
    }
    for (const { program } of this.hosts) await program.stop()
    return {
      ...await withDatabase(this.postgres, async (db) => await compareWithDatabase(db, this.clients)),
      acknowledged: this.acknowledged,
      conservationErrorPoints: errorPoints,
      gapsMs: this.clients.map(({ longestGapMs }) => Math.round(longestGapMs))
    }
  }
}

/** Its workers first, the primary last. */
async function processesOf ({ program, url }: Ingest): Promise<number[]> {
  return [...(await readHealth(url)).workers.map(({ pid }) => pid), program.pid]
}

async function killWorker (host: Ingest): Promise<void> {
  const [worker] = await processesOf(host)
  if (worker !== undefined) process.kill(worker, 'SIGKILL')
}

/**
 * Resolves when as many lanes as have lost their writers are drained, and no others but those with writers are left. A
 * lane whose writer died before it was noted is found later, so the number that are left is not enough.
 */
export async function lanesDrained (
  postgres: TestPostgres, expected: { readonly writers: number, readonly lost: number }
): Promise<void> {
  await eventually('lanes without a writer are drained', TAKEN_OVER_DEADLINE_MS, async () => {
    const { rows } = await withDatabase(postgres, async (db) => await db.query<{ writers: number, lost: number }>(`
      SELECT count(*) FILTER (WHERE closed_at IS NULL)::int AS writers, count(closed_at)::int AS lost
      FROM ingest_lanes`))
    return isDeepStrictEqual(rows[0], expected) ? true : undefined
  })
}
