/** `quarantine list`: rows that were acknowledged and then refused by PostgreSQL, with the reason. */
import { listQuarantined, type QuarantinedRow } from '../../../operations/quarantine.js'
import { defineCommand } from '../../command.js'
import { counted, table } from '../../table.js'
import { QUARANTINE_SETTINGS, withQuarantine } from './quarantine.js'

/** Without absent metrics. */
function describePoint (point: QuarantinedRow['point']): string {
  return point === null
    ? '-'
    : JSON.stringify(Object.fromEntries(Object.entries(point).filter(([, value]) => value !== null)))
}

function listText (rows: readonly QuarantinedRow[], total: number): string {
  if (total === 0) return 'The quarantine is empty.'
  const lines = rows.map(({ id, quarantinedAt, stream, sqlState, point, reason }) => [
    id, quarantinedAt.toISOString(), stream, sqlState, reason, describePoint(point)
  ])
  const shown = rows.length < total ? `The newest ${rows.length} of ` : ''
  const head = ['id', 'since', 'stream', 'sqlstate', 'reason', 'point']
  return `${table([head, ...lines])}\n\n${shown}${counted(total, 'row')}.`
}

export const quarantineList = defineCommand({
  name: 'quarantine list',
  summary: 'List the points that PostgreSQL refused, newest first, with the reason.',
  options: [
    { name: 'limit', type: 'integer', min: 1, max: 100_000, default: 100, help: 'Maximum number of rows to list.' },
    { name: 'json', type: 'boolean', help: 'Print JSON; row bytes in hexadecimal.' }
  ],
  settings: QUARANTINE_SETTINGS,
  async run ({ config, values, print }) {
    const { rows, total } = await withQuarantine(
      config, async (db, catalogue) => await listQuarantined(db, catalogue, values.limit))
    print(values.json
      ? JSON.stringify({
        total,
        rows: rows.map(({ bytes, ...row }) => ({ ...row, bytes: bytes?.toString('hex') ?? null }))
      }, null, 2)
      : listText(rows, total))
    return 0
  }
})
