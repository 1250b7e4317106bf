import t from 'tap'
import { setTimeout as wait } from 'node:timers/promises'
import { held } from '../../benchmarks/held.js'

t.test('a promise that rejects before it is awaited rejects only when awaited', async t => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => { process.off('unhandledRejection', note) })
  const later = held(Promise.reject(new Error('gone')))
  await wait(1)
  await t.rejects(later, /gone/)
  t.same(unhandled, [])
})
