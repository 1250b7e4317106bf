/**
 * Valid rows that PostgreSQL refuses: found by bisection, so that the other rows are stored. A refused point takes its
 * anomalies with it; a refused anomaly leaves its point.
 *
 * All probes are COPYs in one transaction, which is rolled back at the end:
 *
 *   BEGIN, SAVEPOINT ─▶ COPY of some rows ─ accepted ─▶ they stay, new SAVEPOINT ─▶ the next rows … ─▶ ROLLBACK
 *                                        └─ refused ──▶ ROLLBACK TO SAVEPOINT ────▶ the first half of them …
 *
 * Accepted rows stay, since a row may be refused because of another one. Valid rows are refused only by what the
 * database's owner added: constraints, unique indexes, triggers, columns of another type. These may refuse every row of
 * a run, which costs at most two probes a row.
 *
 * Only data errors are bisected: SQLSTATE classes 22 (data exception), 23 (integrity constraint), P0 (PL/pgSQL: what a
 * trigger raises unless it says otherwise) and those that a trigger may choose, and rows of a later catalogue: those of
 * unknown streams, and those with more metrics than the table, which COPY would refuse. Any other error is thrown, and
 * retried later.
 */
import { TELEMETRY, type Stream } from '../../protocol/catalogue.js'
import { anomalyRowEnd, pointsOfAnomalies, readAnomalyRow } from '../pipeline/rows/anomaly-rows.js'
import { anomaliesOf, telemetryOf } from '../pipeline/rows/payload.js'
import { rowColumns, rowEnd, rowToPoint } from '../pipeline/rows/rows.js'
import { ANOMALIES_TARGET, copyRows, targetsOf, type CopyTarget, type PoisonRow } from './commit.js'
import { CopySorter, SurplusFields } from './copy-rows.js'
import { UnknownStream, type StreamPayloads } from './stream-runs.js'
import { isMissingPartition, sqlState } from '../database/connection.js'
import type { Database } from '../database/database.js'

/** What the server would report of a row with too many fields. */
const BAD_COPY_FILE_FORMAT = '22P04'

/**
 * Also classes that triggers choose for their exceptions: 45, and what the standard leaves to implementations, but
 * for what PostgreSQL (72, XX) and TimescaleDB (TS) use.
 */
const DATA_ERROR = /^(?:22|23|45|P0|(?!72|XX|TS)[6-9I-Z])/

/** Whether the server refused a row, or would: bisect instead of retrying. */
export function isDataError (error: unknown): boolean {
  if (error instanceof SurplusFields || error instanceof UnknownStream) return true
  const state = sqlState(error)
  return state !== null && DATA_ERROR.test(state)
}

/** Splits batches into rows, as views. */
export function splitRows (batches: readonly Buffer[], endOf = rowEnd): Buffer[] {
  const rows: Buffer[] = []
  for (const batch of batches) {
    const view = new DataView(batch.buffer, batch.byteOffset, batch.length)
    for (let at = 0; at < batch.length;) {
      const end = endOf(view, at)
      rows.push(batch.subarray(at, end))
      at = end
    }
  }
  return rows
}

/** How to probe a kind of row. */
interface RowKind {
  readonly target: CopyTarget
  /** Name of the stream, for the quarantine. */
  readonly streamOf: (row: Buffer) => string
  readonly end: (view: DataView, start: number) => number
  /** See CopySorter. */
  readonly fields: number
  /** The row as an object, for operators. */
  readonly read: (row: Buffer) => object
}

const pointsOf = (stream: Stream): RowKind => ({
  target: targetsOf(stream).points,
  streamOf: () => stream.name,
  end: rowEnd,
  fields: rowColumns(stream.schema).length,
  read: (row) => rowToPoint(row, stream.schema)
})
const ANOMALIES: RowKind = {
  target: ANOMALIES_TARGET,
  streamOf: (row) => /^(\w+)\./.exec(readAnomalyRow(row).metric)?.[1] ?? TELEMETRY,
  end: anomalyRowEnd,
  fields: 0,
  read: readAnomalyRow
}

const SAVE = ['SAVEPOINT probe']
const SAVE_AGAIN = ['RELEASE SAVEPOINT probe', ...SAVE]
const GO_BACK = ['ROLLBACK TO SAVEPOINT probe']

/** The rows of a run, separated. */
export interface SeparatedRows {
  readonly points: ReadonlyArray<{ readonly stream: Stream, readonly rows: Buffer[] }>
  readonly anomalies: Buffer[]
  /** Refused points first. */
  readonly poison: PoisonRow[]
  readonly poisonPoints: number
}

/** Rows of one kind, separated. */
export interface Separated {
  readonly good: Buffer[]
  readonly poison: PoisonRow[]
}

/**
 * Separates the rows of payloads that the server accepts from those that it refuses.
 * @param db with no open transaction, before and after
 */
export async function separateRun (
  db: Database,
  groups: readonly StreamPayloads[],
  separatePoints: (stream: Stream, rows: readonly Buffer[]) => Promise<Separated>
): Promise<SeparatedRows> {
  const points: Array<SeparatedRows['points'][number]> = []
  const poison: PoisonRow[] = []
  const orphans: PoisonRow[] = []
  const candidates: Buffer[] = []
  for (const { stream, streamId, payloads } of groups) {
    if (stream === null) {
      const unknown = new UnknownStream(streamId)
      for (const row of splitRows(payloads.map(telemetryOf))) poison.push(strangeRow(row, streamId, unknown))
      for (const row of splitRows(payloads.map(anomaliesOf), ANOMALIES.end)) {
        orphans.push(orphanOf(row, strangeRow(row, streamId, unknown)))
      }
      continue
    }
    const rowsOf = payloads.map((payload) => splitRows([telemetryOf(payload)]))
    const separated = await separatePoints(stream, rowsOf.flat())
    points.push({ stream, rows: separated.good })
    for (const row of separated.poison) poison.push(row)
    const refused = new Map(separated.poison.map((row) => [row.bytes, row]))
    payloads.forEach((payload, index) => {
      const anomalies = splitRows([anomaliesOf(payload)], ANOMALIES.end)
      const owners = pointsOfAnomalies(rowsOf[index] ?? [], anomalies, stream)
      anomalies.forEach((anomaly, at) => {
        const refusal = refused.get(owners[at] as Buffer)
        if (refusal === undefined) candidates.push(anomaly)
        else orphans.push(orphanOf(anomaly, refusal))
      })
    })
  }
  const anomalies = await separate(db, candidates, ANOMALIES)
  return {
    points, anomalies: anomalies.good, poison: [...poison, ...orphans, ...anomalies.poison], poisonPoints: poison.length
  }
}

/** A point of a stream that the catalogue does not have: nobody knows its columns. */
function strangeRow (bytes: Buffer, streamId: number, { message: reason }: UnknownStream): PoisonRow {
  return { bytes, sqlState: BAD_COPY_FILE_FORMAT, reason, lacksPartition: false, json: null, stream: `#${streamId}` }
}

function orphanOf (anomaly: Buffer, refusal: PoisonRow): PoisonRow {
  const reason = `its point was refused: ${refusal.reason}`
  return { ...refusal, bytes: anomaly, reason, json: jsonOf(anomaly, ANOMALIES) }
}

/**
 * Separates the points that the server accepts from those that it refuses.
 * @param db with no open transaction, before and after
 */
export async function separatePoison (
  db: Database, stream: Stream, rows: readonly Buffer[]
): Promise<Separated> {
  return await separate(db, rows, pointsOf(stream))
}

/**
 * The same of anomalies.
 * @param db with no open transaction, before and after
 */
export async function separateAnomalies (db: Database, rows: readonly Buffer[]): Promise<Separated> {
  return await separate(db, rows, ANOMALIES)
}

async function separate (db: Database, all: readonly Buffer[], kind: RowKind): Promise<Separated> {
  const good: Buffer[] = []
  const poison = all.filter((row) => hasSurplus(row, kind)).map((row) =>
    poisonRow(row, new SurplusFields(fieldsOf(row), kind.fields), kind))
  const rows = poison.length === 0 ? all : all.filter((row) => !hasSurplus(row, kind))
  if (rows.length === 0) return { good, poison }
  // Constraints deferred to COMMIT would not be attributed to a row.
  await db.query('BEGIN; SET CONSTRAINTS ALL IMMEDIATE')
  const pending = [rows]
  let before = SAVE
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const refusal = await probe(db, before, part, kind)
    before = refusal === null ? SAVE_AGAIN : GO_BACK
    if (refusal === null) {
      // One by one: a call is limited to hundreds of thousands of arguments, and a run may have more rows.
      for (const row of part) good.push(row)
    } else if (part.length === 1 && part[0] !== undefined) {
      poison.push(poisonRow(part[0], refusal, kind))
    } else {
      // The first half next, so that rows keep their order.
      const half = part.length >>> 1
      pending.push(part.slice(half), part.slice(0, half))
    }
  }
  await db.query('ROLLBACK')
  return { good, poison }
}

function fieldsOf (row: Buffer): number {
  return row.readInt16BE(0)
}

function hasSurplus (row: Buffer, { fields }: RowKind): boolean {
  return fields !== 0 && fieldsOf(row) > fields
}

/** The server's refusal of these rows; null: it accepts them. @param before statements that end the last probe */
async function probe (
  db: Database, before: readonly string[], rows: readonly Buffer[], kind: RowKind
): Promise<Error | null> {
  try {
    const copy = new CopySorter(kind.end, kind.fields).sort(rows, rows.length)
    await copyRows(db, kind.target, { copy, copyRows: rows.length }, before)
    return null
  } catch (error) {
    if (isDataError(error)) return error as Error
    throw error
  }
}

function poisonRow (bytes: Buffer, refusal: Error, kind: RowKind): PoisonRow {
  return {
    bytes,
    sqlState: sqlState(refusal) ?? BAD_COPY_FILE_FORMAT,
    reason: refusal.message,
    lacksPartition: isMissingPartition(refusal),
    json: jsonOf(bytes, kind),
    stream: kind.streamOf(bytes)
  }
}

function jsonOf (row: Buffer, kind: RowKind): string | null {
  const json = JSON.stringify(kind.read(row))
  return json.includes('\\u0000') ? null : json
}
