/** `quarantine drop`: permanently deletes refused points. */
import { dropQuarantined } from '../../../operations/quarantine.js'
import { defineCommand } from '../../command.js'
import { counted } from '../../table.js'
import { ALL_OPTION, IDS, QUARANTINE_SETTINGS, selectRows, unknownLine, withQuarantine } from './quarantine.js'

export const quarantineDrop = defineCommand({
  name: 'quarantine drop',
  summary: 'Permanently delete refused points.',
  options: [
    ALL_OPTION,
    { name: 'yes', type: 'boolean', help: 'Confirm: these points were acknowledged and exist nowhere else.' }
  ],
  positionals: IDS,
  settings: QUARANTINE_SETTINGS,
  async run ({ config, values, positionals, print, complain }) {
    const selected = selectRows(positionals, values.all)
    const problem = 'problem' in selected
      ? selected.problem
      : 'these points were acknowledged and exist nowhere else; add --yes to delete them permanently'
    if ('problem' in selected || !values.yes) {
      complain(`error: ${problem}`)
      return 2
    }
    const { dropped, unknown } = await withQuarantine(config, async (db) => await dropQuarantined(db, selected.rows))
    print(`${counted(dropped, 'row')} deleted.`)
    if (unknown.length > 0) complain(unknownLine(unknown))
    return unknown.length === 0 ? 0 : 1
  }
})
