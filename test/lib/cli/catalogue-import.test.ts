/** `catalogue import` from the outside: what goes where, exit codes, and that nothing is overwritten. */
import t from 'tap'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { importFile } from '../../../lib/cli/commands/catalogue/catalogue-import.js'
import { readProposed } from '../../../lib/cli/commands/catalogue/catalogue-proposal.js'
import { runIngest } from '../../support/programs/command.js'

t.test('a sheet becomes a catalogue that check accepts', async (t) => {
  const folder = t.testdir({ 'sheet.csv': 'name,unit,owner\nBus voltage,V,power\n' })
  const [sheet, out] = [join(folder, 'sheet.csv'), join(folder, 'catalogue.yaml')]
  const words = ['catalogue', 'import', '--from', 'csv', sheet]
  const written = await runIngest([...words, '--out', out])
  t.match(written, { code: 0, out: '' })
  t.match(written.err, new RegExp(
    `^${sheet}:1: left out: column owner: its heading is not known\n` +
    `${out} has 1 metric in 1 stream; 1 thing left out, 0 changed.\n$`))
  const [printed, checked, again] = await Promise.all([
    runIngest(words), runIngest(['catalogue', 'check', out]), runIngest([...words, '--out', out])
  ])
  t.equal(printed.out, await readFile(out, 'utf8'))
  t.match(checked, { code: 0, out: /is valid: 1 metric in use/ })
  t.match(again, { code: 1, out: '', err: /already exists; choose another name\n$/ })
})

t.test('what was left out may explain why nothing is left, and nothing printed controls the terminal', async (t) => {
  const sheet = join(t.testdir({ 'sheet.csv': 'name,type\ncallsign,text\n', 'c.yaml': '"\\e[31m": 1' }), 'sheet.csv')
  const lines: string[] = []
  const output = { print: (text: string) => { t.fail(text) }, complain: (text: string) => { lines.push(text) } }
  t.equal(await importFile({ file: sheet, format: 'csv', out: `${sheet}.yaml`, streams: [] }, output), 2)
  t.equal(await readProposed({ catalogue: join(dirname(sheet), 'c.yaml') }, output.complain), undefined)
  t.match(lines, [
    `${sheet}:2: left out: callsign: a catalogue has no texts or times`,
    `error: ${sheet}: has no metrics that a catalogue can hold`, /c\.yaml:1:1: \\u001b\[31m is not known here/,
    /c\.yaml:1:1: catalogue must be 1/, /c\.yaml:1:1: streams must be a mapping/
  ])
  t.notOk(existsSync(`${sheet}.yaml`))
})

t.test('what is wrong is said, with its place', async (t) => {
  const file = join(t.testdir({}), 'broken.xml')
  await writeFile(file, '<a>\n<b></a>\u001b')
  const [broken, without, missing] = await Promise.all([
    runIngest(['catalogue', 'import', '--from', 'xtce', file]), runIngest(['catalogue', 'import', file]),
    runIngest(['catalogue', 'import', '--from', 'csv', `${file}.csv`])
  ])
  t.match(broken, { code: 2, out: '', err: /^error: .*broken\.xml:2: is not well-formed XML/ })
  t.match(without, { code: 2, err: /^error: import needs --from with one of csv, cosmos, xtce\n/ })
  t.match(missing, { code: 1, err: /^error: ENOENT/ })
})
