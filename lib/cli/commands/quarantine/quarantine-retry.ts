/** `quarantine retry`: stores points that PostgreSQL now accepts, for instance after a constraint was changed. */
import { retryQuarantined, type RetryOutcome } from '../../../operations/quarantine.js'
import { defineCommand } from '../../command.js'
import { counted, printable } from '../../table.js'
import { ALL_OPTION, IDS, QUARANTINE_SETTINGS, selectRows, unknownLine, withQuarantine } from './quarantine.js'

const PROGRESS_INTERVAL_MS = 1_000

export const quarantineRetry = defineCommand({
  name: 'quarantine retry',
  summary: 'Retry storing refused points; those refused again stay in quarantine.',
  options: [ALL_OPTION],
  positionals: IDS,
  settings: QUARANTINE_SETTINGS,
  async run ({ config, values, positionals, print, complain }) {
    const selected = selectRows(positionals, values.all)
    if ('problem' in selected) {
      complain(`error: ${selected.problem}`)
      return 2
    }
    let shownMs = performance.now()
    const progress = (soFar: RetryOutcome): void => {
      if (performance.now() - shownMs < PROGRESS_INTERVAL_MS) return
      shownMs = performance.now()
      print(`${counted(soFar.stored, 'row')} stored, ${counted(soFar.refused, 'row')} refused so far`)
    }
    const { stored, refused, reasons, unknown } = await withQuarantine(config, async (db, catalogue) =>
      await retryQuarantined(db, catalogue, selected.rows, progress))
    print(`${counted(stored, 'row')} stored, ${counted(refused, 'row')} still refused.`)
    for (const [reason, rows] of reasons) complain(`error: ${counted(rows, 'row')}: ${printable(reason)}`)
    if (unknown.length > 0) complain(unknownLine(unknown))
    return refused === 0 && unknown.length === 0 ? 0 : 1
  }
})
