import t from 'tap'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { begin, entriesOf, interrupt } from './cut-short.js'

t.test('interrupted while it measures, a benchmark leaves no process and no file', { skip: process.platform !== 'linux' }, async t => {
  await interrupt(t, (_, said) => said.includes('round 1 of 1: udp'), '--only', 'udp')
})

t.test('a program that does not start leaves nothing either, and the benchmark fails', { skip: process.platform !== 'linux' }, async t => {
  const { bench, directory, said } = await begin(t, '--program', join(tmpdir(), 'no-such-program'))
  t.same(await once(bench, 'exit'), [1, null])
  t.match(said(), /ended before it was ready/)
  t.same(entriesOf(directory), [])
})

t.test('wrong arguments and what cannot be written are told before anything starts', async t => {
  const { bench, directory, said } = await begin(t, '--only', 'udp', '--update-docs')
  t.same(await once(bench, 'exit'), [2, null])
  t.match(said(), /groups that are not measured: ceilings/)
  t.same(entriesOf(directory), [])
  const wrong = await begin(t, '--fast')
  t.same(await once(wrong.bench, 'exit'), [2, null])
})
