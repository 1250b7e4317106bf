/**
 * Compares stored points of many metrics with what was sent: as many rows as were acknowledged, at most as many as were
 * sent, as many values in all, and the values of each row from the same point.
 */
import type { Comparison } from '../comparison.js'
import type { Database } from '../../lib/database/database.js'
import { pointsIn } from '../outcomes.js'
import type { PointSet, Wide } from '../points.js'
import { METRIC_STEP, MODULUS, valuesPerPoint, wideNames } from './wide-points.js'

interface Sent {
  /** Requests by body. */
  readonly sent: readonly number[]
  readonly acknowledged: readonly number[]
}

interface Rows {
  readonly rows: number
  readonly values: number
  readonly torn: number
}

export async function compareWide (
  db: Database, { batch }: PointSet, wide: Wide, { sent, acknowledged }: Sent
): Promise<Comparison> {
  const { rows: stored, values, torn } = await readRows(db, wide)
  const [least, most] = [pointsIn(acknowledged, batch), pointsIn(sent, batch)]
  const due = stored * valuesPerPoint(wide)
  return {
    stored,
    problems: [
      ...stored < least ? [`${least - stored} points were acknowledged but are not stored`] : [],
      ...stored > most ? [`${stored - most} points are stored more often than they were sent`] : [],
      ...values === due ? [] : [`${values} values are stored, not ${due}`],
      ...torn > 0 ? [`${torn} rows have values of different points`] : []
    ]
  }
}

async function readRows (db: Database, wide: Wide): Promise<Rows> {
  const names = wideNames(wide)
  // What is left when the part of the metric is taken away: the same in a whole row. GREATEST and LEAST ignore nulls.
  const parts = names.map((name, metric) => (
    `(round("${name}" * 100)::int + ${MODULUS - metric * METRIC_STEP % MODULUS}) % ${MODULUS}`)).join(', ')
  const { rows: [found] } = await db.query<Rows>(`SELECT count(*)::float8 AS rows,
    (${names.map((name) => `count("${name}")`).join(' + ')})::float8 AS values,
    (count(*) FILTER (WHERE GREATEST(${parts}) IS DISTINCT FROM LEAST(${parts})))::float8 AS torn FROM telemetry`)
  return found ?? { rows: 0, values: 0, torn: 0 }
}
