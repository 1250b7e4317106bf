/** `quarantine list`: rows that were acknowledged and that PostgreSQL refused, with the reason. */
import { listQuarantined, type QuarantinedRow } from '../../operations/quarantine.js'
import { defineCommand } from '../command.js'
import { counted, table } from '../table.js'
import { QUARANTINE_SETTINGS, withQuarantine } from './quarantine.js'

/** Without the metrics that it does not have. */
function describePoint (point: QuarantinedRow['point']): string {
  return point === null ? '-' : JSON.stringify(Object.fromEntries(Object.entries(point).filter(([, value]) => value !== null)))
}

function listText (rows: readonly QuarantinedRow[], total: number): string {
  if (total === 0) return 'The quarantine is empty.'
  const lines = rows.map(({ id, quarantinedAt, sqlState, point, reason }) => [
    id, quarantinedAt.toISOString(), sqlState, reason, describePoint(point)
  ])
  return `${table([['id', 'since', 'sqlstate', 'reason', 'point'], ...lines])}\n\n${rows.length < total ? `The newest ${rows.length} of ${counted(total, 'row')}.` : `${counted(total, 'row')}.`}`
}

export const quarantineList = defineCommand({
  name: 'quarantine list',
  summary: 'Show the points that PostgreSQL refused, with the reason; the newest first.',
  options: [
    { name: 'limit', type: 'integer', min: 1, max: 100_000, default: 100, help: 'Rows to show at most.' },
    { name: 'json', type: 'boolean', help: 'Print JSON; the bytes of a row in hexadecimal.' }
  ],
  settings: QUARANTINE_SETTINGS,
  async run ({ config, values, print }) {
    const { rows, total } = await withQuarantine(config, async (db) => await listQuarantined(db, values.limit))
    print(values.json
      ? JSON.stringify({ total, rows: rows.map(({ bytes, ...row }) => ({ ...row, bytes: bytes?.toString('hex') ?? null })) }, null, 2)
      : listText(rows, total))
    return 0
  }
})
