import t from 'tap'
import { entriesOf, interrupt } from './cut-short.js'

t.test('interrupted while a second server starts, a benchmark leaves no process and no file of either', { skip: process.platform !== 'linux' }, async t => {
  await interrupt(t, (directory) => entriesOf(directory).length === 2, '--only', 'spool')
})
