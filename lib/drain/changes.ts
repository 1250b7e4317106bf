/**
 * Limits on change: a value that is not the one before it, of the same satellite and metric.
 *
 * A satellite's points come through several workers and hosts in any order, so they are compared where they meet: in
 * the table last_changes, in the transaction that stores them. For each satellite and metric with such a limit, it has
 * the last known value, and the time of a point that had it. A later point with another value is a change, and moves
 * the row; anything earlier is not compared. So
 *
 *   - each change found lies between two stored points, that of the row and its own, and no two such spans overlap:
 *     nothing is found twice, whichever worker stores it, nor after a replay
 *   - a value that stays is found as soon as one point with it is later than the row
 *
 * Values of a run are collected first, with equal ones in a row as one: sorted rows are in order of satellite and time.
 */
import { isDataError } from './poison.js'
import { ANOMALIES_TARGET, POISON_ROWS_MAX, copyRows, insertPoison } from './commit.js'
import type { LedgerMove, StreamRows } from './commit.js'
import { COPY_HEADER, COPY_TRAILER, CopySorter } from './copy-rows.js'
import type { ChangeLimits, ChangeRule, WatchedMetrics } from '../limits/change-limits.js'
import type { Severity } from '../limits/limit-set.js'
import { anomalyRow, anomalyRowEnd, type Anomaly } from '../pipeline/rows/anomaly-rows.js'
import {
  ROW_ID_LENGTH_OFFSET, ROW_ID_OFFSET, fieldEnd, isoTime, readValue, rowEnd, rowTimeMicros, viewOf
} from '../pipeline/rows/rows.js'
import { sqlState } from '../database/connection.js'
import type { Database } from '../database/database.js'
import type { Log } from '../support/log.js'
import type { ValueType } from '../../protocol/value-types.js'

/** Points in a row with the same value of a metric. */
export interface ValueRun {
  readonly satellite: string
  readonly metric: string
  readonly stream: string
  readonly rule: ChangeRule
  readonly value: number
  /** Of the first and the last point, microseconds since 1970. */
  readonly firstMicros: number
  lastMicros: number
}

/** Anomalies that a transaction stored. */
export interface FoundChanges {
  readonly total: number
  /** By metric and severity. */
  readonly counts: ReadonlyArray<{ readonly metric: string, readonly severity: Severity, readonly count: number }>
  /** The first of them, at most ANOMALIES_MAX. */
  readonly anomalies: readonly Anomaly[]
}

/** In one statement: a megabyte, and hundreds of milliseconds if all are changes. */
const RUNS_MAX = 5_000
/** As many as live streams get. */
const ANOMALIES_MAX = 200
/** Later than year 287000: what is near the end of the range of timestamptz is not compared. */
const MICROS_MAX = 9e18

/** The values to compare, runs of a satellite and metric one after another. @param streams sorted */
export function collectValues (limits: ChangeLimits, streams: readonly StreamRows[]): ValueRun[] {
  const runs: ValueRun[] = []
  // In one order everywhere, so that transactions do not wait for each other in a circle.
  for (const rows of streams.toSorted((a, b) => a.stream.id - b.stream.id)) {
    const watched = limits.of(rows.stream)
    if (watched !== null) collectOfStream(watched, rows, runs)
  }
  return runs
}

function collectOfStream (watched: WatchedMetrics, { stream, copy }: StreamRows, runs: ValueRun[]): void {
  const view = viewOf(copy)
  const end = copy.length - COPY_TRAILER.length
  let idAt = -1
  let idLength = 0
  let satellite = ''
  let rules: ReturnType<WatchedMetrics['rulesOf']> = null
  let byMetric: ValueRun[][] = []
  const flush = (): void => {
    for (const ofMetric of byMetric) for (const run of ofMetric) runs.push(run)
  }
  for (let at = COPY_HEADER.length; at < end; at = rowEnd(view, at)) {
    const length = view.getInt32(at + ROW_ID_LENGTH_OFFSET)
    const start = at + ROW_ID_OFFSET
    const isSame = length === idLength && idAt !== -1 &&
      copy.compare(copy, idAt, idAt + length, start, start + length) === 0
    if (!isSame) {
      flush()
      satellite = copy.toString('utf8', start, start + length)
      rules = watched.rulesOf(satellite)
      byMetric = rules === null ? [] : watched.indexes.map(() => [])
    }
    idAt = start
    idLength = length
    const micros = rowTimeMicros(view, at)
    if (rules === null || Math.abs(micros) > MICROS_MAX) continue
    let field = start + length
    let index = 0
    for (const [watch, metricIndex] of watched.indexes.entries()) {
      for (; index < metricIndex; index++) field = fieldEnd(view, field)
      const rule = rules[watch] ?? null
      const value = readValue(view, field, (stream.schema.types[metricIndex] as ValueType).name)
      if (rule === null || Number.isNaN(value)) continue
      const ofMetric = byMetric[watch] as ValueRun[]
      const last = ofMetric.at(-1)
      if (last?.value === value) {
        last.lastMicros = micros
      } else {
        const metric = watched.names[watch] as string
        ofMetric.push({
          satellite, metric, stream: stream.name, rule, value, firstMicros: micros, lastMicros: micros
        })
      }
    }
  }
  flush()
}

interface NotedRow {
  /** From 1. */
  readonly position: number
  readonly is_first: boolean
  readonly value_before: number
}

/** The changes of one transaction. */
export class Changes {
  private total = 0
  private readonly counts = new Map<string, { metric: string, severity: Severity, count: number }>()
  private readonly anomalies: Anomaly[] = []

  /** @param version of the limits */
  constructor (
    private readonly runs: readonly ValueRun[], private readonly version: number, private readonly log: Log
  ) {}

  /** Those stored, once the transaction has committed. */
  get found (): FoundChanges {
    return { total: this.total, counts: [...this.counts.values()], anomalies: this.anomalies }
  }

  /** Compares the values in the open transaction, and stores anomalies. */
  async note (db: Database, moves: LedgerMove): Promise<void> {
    const { runs } = this
    for (let first = 0; first < runs.length; first += RUNS_MAX) {
      const part = runs.slice(first, first + RUNS_MAX)
      const { rows } = await db.query<NotedRow>(
        'SELECT * FROM public.orbitstream_note_changes($1, $2, $3, $4, $5, $6)', [
          part.map(({ satellite }) => satellite),
          part.map(({ metric }) => metric),
          part.map(({ firstMicros }) => firstMicros),
          part.map(({ lastMicros }) => lastMicros),
          part.map(({ value }) => value),
          part.map((run, at) => !isNext(run, runs[first + at - 1]) && !isNext(run, runs[first + at + 1]))
        ])
      await this.store(db, moves, rows.map((row) => [part[row.position - 1] as ValueRun, row]))
    }
  }

  private async store (
    db: Database, moves: LedgerMove, noted: ReadonlyArray<readonly [ValueRun, NotedRow]>
  ): Promise<void> {
    const found = noted.flatMap(([run, { is_first: isFirst, value_before: before }]) => {
      const { satellite, metric, stream, rule, value, firstMicros, lastMicros } = run
      const severity = value > before ? rule.increase : rule.decrease
      if (severity === null) return []
      const micros = isFirst ? firstMicros : lastMicros
      const anomaly: Anomaly = {
        time: isoTime(micros),
        satellite_id: satellite,
        metric,
        value,
        limit: before,
        severity,
        side: 'change',
        limits_version: this.version
      }
      return [{ anomaly, severity, stream, bytes: anomalyRow(anomaly, micros) }]
    })
    if (found.length === 0) return
    const bytes = found.map((each) => each.bytes)
    const copy = new CopySorter(anomalyRowEnd).sort(bytes, bytes.length)
    try {
      await copyRows(db, ANOMALIES_TARGET, { copy, copyRows: bytes.length }, ['SAVEPOINT changes'])
    } catch (error) {
      if (!isDataError(error)) throw error
      // What the owner has made of the table refuses some. All are put aside: these are few, and the points stay.
      await db.query('ROLLBACK TO SAVEPOINT changes')
      const { message: reason } = error as Error
      const poison = found.map(({ anomaly, stream, bytes }) => ({
        bytes, sqlState: sqlState(error) ?? '', reason, lacksPartition: false, json: JSON.stringify(anomaly), stream
      }))
      for (let first = 0; first < poison.length; first += POISON_ROWS_MAX) {
        await insertPoison(db, moves, poison.slice(first, first + POISON_ROWS_MAX))
      }
      this.log.error({ anomalies: found.length, reason },
        'PostgreSQL refused anomalies of limits on change; they are in quarantined_rows with the reason')
      return
    }
    for (const { anomaly, severity } of found) this.count(anomaly, severity)
  }

  private count (anomaly: Anomaly, severity: Severity): void {
    const { metric } = anomaly
    const key = `${metric} ${severity}`
    const known = this.counts.get(key)
    if (known === undefined) this.counts.set(key, { metric, severity, count: 1 })
    else known.count++
    this.total++
    if (this.anomalies.length < ANOMALIES_MAX) this.anomalies.push(anomaly)
  }
}

function isNext ({ satellite, metric }: ValueRun, other: ValueRun | undefined): boolean {
  return other !== undefined && other.metric === metric && other.satellite === satellite
}
