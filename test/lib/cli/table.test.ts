/** Text for terminals: aligned, and harmless whatever it contains. */
import t from 'tap'
import { counted, printable, table } from '../../../lib/cli/table.js'

t.test('columns are aligned, numbers to the right with thousands separators', t => {
  t.equal(table([['name', 'rows', ''], ['a', 1_234_567, ''], ['longer', 5, 'odd']]), [
    'name         rows',
    'a       1,234,567',
    'longer          5  odd'
  ].join('\n'))
  t.equal(table([]), '')
  t.end()
})

t.test('control characters are escaped', t => {
  t.equal(printable('A\u001b[2J\nB\u0000\u2028'), 'A\\u001b[2J\\u000aB\\u0000\\u2028')
  t.equal(printable('Ünï-🛰 "x"'), 'Ünï-🛰 "x"')
  t.equal(table([['\r']]), '\\u000d')
  t.end()
})

t.test('counts', t => {
  t.same([counted(0, 'row'), counted(1, 'row'), counted(2_000, 'row')], ['0 rows', '1 row', '2,000 rows'])
  t.end()
})
