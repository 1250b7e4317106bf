/** `config`: the effective configuration, secrets masked. */
import { configTable, describeConfig } from '../../config/config.js'
import { defineCommand } from '../command.js'
import { table } from '../table.js'

export const config = defineCommand({
  name: 'config',
  summary: 'Print the effective configuration and the source of each value.',
  options: [
    { name: 'json', type: 'boolean', help: 'Print JSON: value and source by variable.' },
    { name: 'markdown', type: 'boolean', help: 'Print the table of all settings as in docs/CONFIGURE.md.' }
  ],
  settings: 'all',
  async run ({ config, sources, values, print, complain }) {
    if (values.json && values.markdown) {
      complain('error: --json and --markdown are mutually exclusive')
      return 2
    }
    const rows = describeConfig(config, sources)
    if (values.markdown) print(configTable())
    else if (values.json) {
      print(
        JSON.stringify(Object.fromEntries(rows.map(({ name, value, source }) => [name, { value, source }])), null, 2)
      )
    } else print(table(rows.map(({ name, value, source }) => [name, value, source])))
    return await Promise.resolve(0)
  }
})
