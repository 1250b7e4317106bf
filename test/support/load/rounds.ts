/**
 * Seeded random faults under load: one fault per round, or two at once, while a client keeps sending. At the end every
 * acknowledged point must be in the database exactly once, and nothing that was never sent.
 */
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { Random } from '../../../lib/sim/fleet/random.js'
import { eventually } from '../eventually.js'
import { conservationErrorPoints, drained, readyWorkers } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../database/postgres.js'
import { startIngest, type Ingest } from '../programs/program.js'

const FAULTS = [
  'a worker is killed',
  'the primary is killed',
  'a database backend is terminated',
  'a database backend is killed',
  'the database is cut off',
  'the database is cut off, and a worker is killed meanwhile',
  'the database is cut off, and the primary is killed meanwhile'
] as const
type Fault = typeof FAULTS[number]

const BATCH_SIZES = [1, 1, 2, 7, 30, 200, 1_500] as const
/** Not "received": that promises nothing beyond the life of the process. */
const ACKNOWLEDGEMENTS = ['', '', '', '?ack=committed', '?ack=spooled'] as const
const POINTS_PER_ROUND_MAX = 2_000
/** The program rightly gives up on a worker that dies five times within ten seconds of starting. */
const WORKER_KILLS_MAX = 3
const REPAIR_DEADLINE_MS = 60_000
const NOT_CONSERVED = 'the counters of a worker do not add up'

export interface RoundsOptions {
  readonly rounds: number
  readonly seed: number
  /** Prints a line per round. */
  readonly print: (line: string) => void
}

export interface RoundsVerdict extends Verdict {
  readonly acknowledged: number
  readonly conservationErrorPoints: number
  /** Log lines about points that do not add up. */
  readonly complaints: string[]
}

export async function runRounds (owner: Owner, options: RoundsOptions): Promise<RoundsVerdict> {
  const [postgres, dataDir] = [await startTestPostgres(owner, { fsync: true }), await temporaryDirectory(owner)]
  const rounds = new Rounds(owner, options, postgres, dataDir)
  return await rounds.run()
}

class Rounds {
  private readonly random: Random
  private readonly client: JournalClient
  private ingest: Ingest | null = null
  private readonly complaints: string[] = []
  private workerKills = new Map<number, number>()

  constructor (
    private readonly owner: Owner,
    private readonly options: RoundsOptions,
    private readonly postgres: TestPostgres,
    private readonly dataDir: string
  ) {
    this.random = new Random(options.seed, 1)
    const sizes = new Random(options.seed, 2)
    this.client = new JournalClient({
      url: 'http://127.0.0.1:1',
      pointsPerRequest: () => pick(sizes, BATCH_SIZES),
      query: () => pick(sizes, ACKNOWLEDGEMENTS)
    })
  }

  async run (): Promise<RoundsVerdict> {
    const { client, options: { rounds, print } } = this
    await this.startProgram()
    client.start()
    client.moveTo(this.running.url)
    try {
      for (let round = 1; round <= rounds; round++) {
        await client.acknowledgedMore(1 + Math.floor(this.random.between(0, POINTS_PER_ROUND_MAX)))
        const fault = this.chooseFault()
        const startMs = performance.now()
        await this.inflict(fault)
        const tookMs = Math.round(performance.now() - startMs)
        print(`round ${round} of ${rounds}: ${fault}; ${tookMs} ms; ${client.acknowledged.size} points acknowledged`)
      }
      await client.acknowledgedMore(1)
    } finally {
      await client.stop()
    }
    return await this.verdict()
  }

  private get running (): Ingest {
    if (this.ingest === null) throw new Error('the program does not run')
    return this.ingest
  }

  private chooseFault (): Fault {
    const fault = pick(this.random, FAULTS)
    const tooOften = [...this.workerKills.values()].some((kills) => kills >= WORKER_KILLS_MAX)
    return tooOften && fault.includes('worker') ? 'the primary is killed' : fault
  }

  private async inflict (fault: Fault): Promise<void> {
    switch (fault) {
      case 'a worker is killed':
        await this.killWorker()
        break
      case 'the primary is killed':
        await this.killPrimary()
        await this.startProgram()
        break
      case 'a database backend is terminated':
        await this.withBackend(async (db, pid) => { await db.query('SELECT pg_terminate_backend($1)', [pid]) })
        break
      case 'a database backend is killed':
        await this.withBackend((_db, pid) => { process.kill(pid, 'SIGKILL') })
        break
      case 'the database is cut off':
        await this.postgres.kill()
        await this.postgres.start()
        break
      case 'the database is cut off, and a worker is killed meanwhile':
        await this.postgres.kill()
        await this.killWorker()
        await this.postgres.start()
        break
      case 'the database is cut off, and the primary is killed meanwhile':
        await this.postgres.kill()
        await this.killPrimary()
        await this.postgres.start()
        await this.startProgram()
    }
  }

  private async startProgram (): Promise<void> {
    const { dataDir, postgres: { url: databaseUrl } } = this
    this.ingest = await startIngest(this.owner, { dataDir, databaseUrl, args: ['--workers', '2'] })
    this.workerKills = new Map()
    this.client.moveTo(this.ingest.url)
  }

  private async killPrimary (): Promise<void> {
    await this.running.program.stop('SIGKILL')
    this.readComplaints()
  }

  private async killWorker (): Promise<void> {
    await eventually('a worker serves', REPAIR_DEADLINE_MS, async () => {
      const workers = await readyWorkers(this.running.url)
      if (workers.length === 0) return undefined
      const { slot, pid } = pick(this.random, workers)
      process.kill(pid, 'SIGKILL')
      this.workerKills.set(slot, (this.workerKills.get(slot) ?? 0) + 1)
      return pid
    })
  }

  /** Picks the backend of a connection that stores points. */
  private async withBackend (act: (db: Database, pid: number) => unknown): Promise<void> {
    await eventually('a worker has its connection', REPAIR_DEADLINE_MS, async () => {
      const db = await connect(this.postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
      try {
        const { rows } = await db.query<{ pid: number }>(
          "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'orbitstream worker%' ORDER BY backend_start")
        if (rows.length === 0) return undefined
        const { pid } = pick(this.random, rows)
        await act(db, pid)
        return pid
      } finally {
        db.destroy()
      }
    })
  }

  private readComplaints (): void {
    for (const { msg } of this.running.program.lines) {
      if (msg?.startsWith(NOT_CONSERVED) === true) this.complaints.push(msg)
    }
  }

  private async verdict (): Promise<RoundsVerdict> {
    const { url, program } = this.running
    await drained(url)
    const errorPoints = await conservationErrorPoints(url)
    await program.stop()
    this.readComplaints()
    const db = await connect(this.postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
    try {
      const verdict = await compareWithDatabase(db, [this.client])
      const { client: { acknowledged: { size: acknowledged } }, complaints } = this
      return { ...verdict, acknowledged, conservationErrorPoints: errorPoints, complaints }
    } finally {
      await db.close()
    }
  }
}

function pick<T> (random: Random, items: readonly T[]): T {
  return items[Math.floor(random.unit() * items.length)] as T
}
