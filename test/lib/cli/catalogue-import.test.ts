/** `catalogue import` from the outside: what goes where, exit codes, and that nothing is overwritten. */
import t from 'tap'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runIngest } from '../../support/command.js'

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
