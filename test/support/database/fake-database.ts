/**
 * A fake database with the PostgreSQL guarantees that the drain relies on, failing on demand.
 *
 * It has a ledger, telemetry and quarantined_rows; changes become visible at COMMIT. A fault hits a kind of statement a
 * number of times: before it runs, after it (the answer is lost), or it hangs until the connection is cut.
 */
import { DatabaseError } from 'pg'
import { OperatingError } from '../../../lib/support/errors.js'
import type { Database, QueryOutcome } from '../../../lib/database/database.js'
import type { PipedOutcome } from '../../../lib/database/piped-copy.js'
import { oneByOne } from '../../../benchmarks/timescale/one-by-one.js'
import { decodeCopy, rowText, type PlainRow } from '../points/rows.js'

const KINDS = [
  'BEGIN', 'SELECT epoch', 'INSERT INTO ingest_ledger', 'UPDATE ingest_ledger', 'INSERT INTO quarantined_rows',
  'SELECT public.orbitstream_make_partitions', 'COMMIT', 'SAVEPOINT', 'RELEASE', 'ROLLBACK TO', 'ROLLBACK'
] as const
const BEGIN_AND = 'BEGIN; '
const SET = /SET epoch = (?<toEpoch>\d+), last_sequence = (?<toSequence>\d+), epoch_id = (?<toId>NULL|'\w+'), /
const WHERE = /AND epoch = (?<epoch>\d+) AND last_sequence = (?<sequence>\d+) AND epoch_id IS NOT DISTINCT FROM (?<id>.+)$/
const MOVE = new RegExp(`${SET.source}.* WHERE spool_id = '[^']+' ${WHERE.source}`)
export type StatementKind = typeof KINDS[number] | 'COPY' | 'connect'

export interface Fault {
  readonly on: StatementKind
  times: number
  readonly effect: 'before' | 'after' | 'hang'
  readonly error?: () => Error
  /** Number of matching statements to let through first. */
  skip?: number
}

export interface Quarantined {
  readonly sqlState: string
  readonly reason: string
  readonly bytes: Buffer
  readonly json: string | null
}

export function serverError (code: string, message = `error ${code}`): DatabaseError {
  const error = new DatabaseError(message, message.length, 'error')
  error.code = code
  return error
}

/** In German, as only the SQLSTATE and routine are the same in every language. */
export function noPartition (): DatabaseError {
  const message = 'keine Partition von Relation »telemetry« für die Zeile gefunden'
  return Object.assign(serverError('23514', message), { routine: 'ExecFindPartition' })
}

export const connectionLost = (): Error =>
  new OperatingError('database_unavailable', 'The database cannot be reached: cut')

interface Position { epoch: number, sequence: number, epochId: string | null }
interface Work { ledger: Position | null, rows: PlainRow[], quarantined: Quarantined[] }

export class FakeServer {
  ledger: Position | null = null
  /** Null: the role may not ask for it. */
  timeline: number | null = 1
  rowsTotal = 0
  readonly rows: PlainRow[] = []
  readonly quarantined: Quarantined[] = []
  readonly faults: Fault[] = []
  /** Every statement in order, COPY with its number of rows. */
  readonly log: string[] = []
  readonly connections: FakeConnection[] = []
  /** The error with which the server refuses a row; null: accepted. */
  refuses: (row: PlainRow) => DatabaseError | null = () => null
  /** As with a trigger on the ledger that returns NULL: no statement moves it, */
  isStuck = false
  /** or inserts a row, and none in the quarantine either. */
  isClosed = false
  /** Number of upcoming COPYs that report one row too few. */
  miscounts = 0
  /** Arguments of each orbitstream_make_partitions call, in seconds. */
  readonly partitions: Array<readonly number[]> = []
  private readonly watchers = new Set<() => void>()

  readonly connect = async (): Promise<Database> => {
    const connection = new FakeConnection(this)
    await this.strike('connect', 'connect', connection, () => undefined)
    this.connections.push(connection)
    return connection
  }

  count (text: string): number {
    return this.log.filter((line) => line.startsWith(text)).length
  }

  get open (): number {
    return this.connections.filter(({ alive }) => alive).length
  }

  /** Resolves when this many statements of the kind have arrived. */
  async reached (kind: StatementKind, times = 1): Promise<void> {
    while (this.count(kind) < times) await new Promise<void>((resolve) => this.watchers.add(resolve))
  }

  async strike <T> (kind: StatementKind, line: string, connection: FakeConnection, work: () => T): Promise<T> {
    this.log.push(line)
    for (const wake of this.watchers) wake()
    this.watchers.clear()
    await new Promise((resolve) => setImmediate(resolve))
    const fault = this.faults.find((each) => each.on === kind && each.times > 0)
    if (fault === undefined || (fault.skip ?? 0) > 0) {
      if (fault?.skip !== undefined) fault.skip--
      connection.assertAlive()
      return work()
    }
    fault.times--
    if (fault.effect === 'after') work()
    else if (fault.effect === 'hang') await connection.cut
    throw fault.error?.() ?? connection.lose()
  }
}

export class FakeConnection implements Database {
  alive = true
  readonly backendPid = 1
  closedPolitely = false
  onLost: (error: Error) => void = () => {}
  readonly cut: Promise<void>
  private settleCut: () => void = () => {}
  private work: Work | null = null
  /** Number of rows in the transaction at its savepoint. */
  private saved = 0

  constructor (private readonly server: FakeServer) {
    this.cut = new Promise((resolve) => { this.settleCut = resolve })
  }

  assertAlive (): void {
    if (!this.alive) throw connectionLost()
  }

  lose (): Error {
    this.destroy()
    return connectionLost()
  }

  async query <Row extends object> (text: string, values: readonly unknown[] = []): Promise<QueryOutcome<Row>> {
    // Nothing is late here.
    if (text.startsWith('SELECT 1 WHERE public.orbitstream_note_rows')) return { rows: [], rowCount: 0 }
    if (text === 'SET CONSTRAINTS ALL IMMEDIATE') return { rows: [], rowCount: 0 }
    if (text.startsWith('SELECT pg_catalog.pg_walfile_name')) return this.readTimeline() as QueryOutcome<Row>
    if (text.startsWith(BEGIN_AND)) {
      await this.query('BEGIN')
      return await this.query<Row>(text.slice(BEGIN_AND.length))
    }
    const kind = KINDS.find((each) => text.startsWith(each))
    if (kind === undefined) throw new Error(`the fake does not know: ${text}`)
    this.assertAlive()
    const outcome = await this.server.strike(kind, kind, this, () => this.run(kind, text, values))
    return outcome as QueryOutcome<Row>
  }

  async copyIn (sql: string, chunks: readonly Buffer[]): Promise<number> {
    if (!sql.startsWith('COPY telemetry')) throw new Error(`the fake does not know: ${sql}`)
    this.assertAlive()
    const rows = decodeCopy(Buffer.concat(chunks))
    return await this.server.strike('COPY', `COPY ${rows.length}`, this, () => this.take(rows))
  }

  async copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome> {
    try {
      return await oneByOne(this, statements, sql, chunks)
    } catch (error) {
      if (!(error instanceof DatabaseError)) this.destroy()
      throw error
    }
  }

  close (): Promise<void> {
    this.closedPolitely = this.alive
    this.destroy()
    return Promise.resolve()
  }

  destroy (): void {
    this.alive = false
    this.work = null
    this.settleCut()
  }

  private take (rows: readonly PlainRow[]): number {
    for (const row of rows) {
      const refusal = this.server.refuses(row)
      if (refusal !== null) throw refusal
    }
    for (const row of rows) this.transaction().rows.push(row)
    return this.server.miscounts-- > 0 ? rows.length - 1 : rows.length
  }

  private transaction (): Work {
    if (this.work === null) throw new Error('no transaction')
    return this.work
  }

  private run (kind: typeof KINDS[number], text: string, values: readonly unknown[]): QueryOutcome<object> {
    const { server } = this
    switch (kind) {
      case 'BEGIN': this.work = { ledger: null, rows: [], quarantined: [] }; break
      case 'SELECT epoch': return this.readLedger()
      case 'INSERT INTO ingest_ledger': return this.enter()
      case 'UPDATE ingest_ledger': return this.moveLedger(text)
      case 'INSERT INTO quarantined_rows': return this.quarantine(values)
      case 'SELECT public.orbitstream_make_partitions': server.partitions.push(values[0] as number[]); break
      case 'COMMIT': this.commit(); break
      case 'SAVEPOINT': this.saved = this.transaction().rows.length; break
      case 'RELEASE': break
      case 'ROLLBACK TO': this.transaction().rows.length = this.saved; break
      case 'ROLLBACK': this.work = null
    }
    return { rows: [], rowCount: 0 }
  }

  private readTimeline (): QueryOutcome<object> {
    const { timeline } = this.server
    if (timeline === null) throw serverError('42501')
    return { rows: [{ name: `${timeline.toString(16).padStart(8, '0')}${'0'.repeat(16)}` }], rowCount: 1 }
  }

  private readLedger (): QueryOutcome<object> {
    const { ledger } = this.server
    if (ledger === null) return { rows: [], rowCount: 0 }
    const { epoch, sequence, epochId } = ledger
    return { rows: [{ epoch: String(epoch), last_sequence: String(sequence), epoch_id: epochId }], rowCount: 1 }
  }

  private enter (): QueryOutcome<object> {
    const { server } = this
    if (server.ledger !== null || server.isClosed) return { rows: [], rowCount: 0 }
    server.ledger = { epoch: 0, sequence: 0, epochId: null }
    return { rows: [], rowCount: 1 }
  }

  private moveLedger (text: string): QueryOutcome<object> {
    const { ledger } = this.server
    const move = MOVE.exec(text)?.groups
    if (move === undefined) throw new Error(`the fake does not know: ${text}`)
    const [toEpoch, toSequence, epoch, sequence] = [
      move['toEpoch'], move['toSequence'], move['epoch'], move['sequence']
    ].map(Number) as [number, number, number, number]
    const idOf = (text = ''): string | null => text === 'NULL' ? null : text.slice(1, -1)
    const [toId, id] = [idOf(move['toId']), idOf(move['id'])]
    const isThere = ledger?.epoch === epoch && ledger.sequence === sequence && ledger.epochId === id
    if (!isThere || this.server.isStuck) return { rows: [], rowCount: 0 }
    this.transaction().ledger = { epoch: toEpoch, sequence: toSequence, epochId: toId }
    return { rows: [], rowCount: 1 }
  }

  private quarantine (values: readonly unknown[]): QueryOutcome<object> {
    if (this.server.isClosed) return { rows: [], rowCount: 0 }
    const [, , , sqlStates, reasons, jsons, rows] =
      values as [unknown, unknown, unknown, string[], string[], Array<string | null>, Buffer[]]
    rows.forEach((bytes, index) => this.transaction().quarantined.push(
      { sqlState: sqlStates[index]!, reason: reasons[index]!, json: jsons[index]!, bytes }))
    return { rows: [], rowCount: rows.length }
  }

  private commit (): void {
    const { server } = this
    const { ledger, rows, quarantined } = this.transaction()
    if (ledger !== null) server.ledger = ledger
    for (const row of rows) server.rows.push(row)
    server.rowsTotal += rows.length
    server.quarantined.push(...quarantined)
    this.work = null
  }
}

export const texts = (rows: readonly PlainRow[]): string[] => rows.map(rowText).sort()
