/**
 * Ceiling for storing: COPY of the same rows, encoded and sorted in advance, into the same table over one connection.
 */
import { PointColumns } from '../../protocol/columns.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { RowBuffer, rowColumns } from '../../lib/pipeline/rows/rows.js'
import { CopySorter } from '../../lib/drain/copy-rows.js'
import { pointOf } from '../points.js'
import type { RunRecord } from '../result.js'
import { Costs, type Session } from '../session.js'
import { countRows, empty } from '../stored.js'

/** As many as in a worker's COPY under full load. */
const ROWS = 40_000
const SATELLITES = 100
const COPY = `COPY telemetry (${rowColumns(
  BUILT_IN.telemetry.schema).map((name) => `"${name}"`).join(', ')}) FROM STDIN (FORMAT binary)`

/** A complete COPY stream. */
export function copyStream (rows: number, satellites: number): Buffer {
  const columns = new PointColumns(BUILT_IN.telemetry.schema, rows)
  const table = new SatelliteTable()
  const nowMicros = Date.now() * 1000
  for (let number = 0; number < rows; number++) {
    const { satelliteId, battery, storage, signal } = pointOf(number, satellites)
    const satellite = table.byId(satelliteId)
    if (satellite === null) throw new Error(`${satelliteId} is not an id`)
    columns.values.set([battery, storage, signal], columns.push(satellite, nowMicros + number) * 3)
  }
  const buffer = new RowBuffer(rows * 64)
  buffer.append(columns)
  return new CopySorter().sort([buffer.take()], rows)
}

export async function measureCopy (session: Session): Promise<RunRecord> {
  const { db, server, plan } = session
  await empty(db)
  const stream = copyStream(ROWS, SATELLITES)
  const copier = await server.connect()
  try {
    const costs = await Costs.begin(session)
    const startMs = performance.now()
    let sent = 0
    while (performance.now() - startMs < plan.seconds * 1000) sent += await copier.copyIn(COPY, [stream])
    const seconds = (performance.now() - startMs) / 1000
    // The load is this process.
    const cost = await costs.end(0)
    const stored = await countRows(db)
    const problems = stored === sent ? [] : [`${sent} rows were copied but ${stored} are stored`]
    return { rate: stored / seconds, seconds, sent, acknowledged: sent, stored, ...cost, problems }
  } finally {
    await copier.close()
  }
}
