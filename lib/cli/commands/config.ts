/** `config`: the effective configuration, secrets masked. */
import { exampleFile } from '../../config/config-file.js'
import { configTable, describeConfig } from '../../config/config.js'
import { defineCommand } from '../command.js'
import { table } from '../table.js'

export const config = defineCommand({
  name: 'config',
  summary: 'Print the effective configuration and the source of each value.',
  options: [
    { name: 'example', type: 'boolean', help: 'Print a configuration file with all settings, commented out.' },
    { name: 'json', type: 'boolean', help: 'Print JSON: value and source by variable.' },
    { name: 'markdown', type: 'boolean', help: 'Print the table of all settings as in docs/CONFIGURE.md.' }
  ],
  settings: 'all',
  async run ({ config, sources, values, print, complain }) {
    if (Number(values.json) + Number(values.markdown) + Number(values.example) > 1) {
      complain('error: --example, --json and --markdown are mutually exclusive')
      return 2
    }
    const rows = describeConfig(config, sources)
    if (values.example) print(exampleFile())
    else if (values.markdown) print(configTable())
    else if (values.json) {
      print(
        JSON.stringify(Object.fromEntries(rows.map(({ name, value, source }) => [name, { value, source }])), null, 2)
      )
    } else print(table(rows.map(({ name, value, source }) => [name, value, source])))
    return await Promise.resolve(0)
  }
})
