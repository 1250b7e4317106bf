/** Releasers: order, failures, idempotence. */
import t from 'tap'
import { setImmediate } from 'node:timers/promises'
import { Lifecycle } from '../../../lib/support/lifecycle.js'

t.test('resources are closed in reverse order, one after the other', async t => {
  const lifecycle = new Lifecycle()
  const events: string[] = []
  for (const name of ['database', 'journal', 'listener']) {
    lifecycle.push(name, async () => {
      events.push(`${name} begins`)
      await setImmediate()
      events.push(`${name} ends`)
    })
  }
  await lifecycle.release()
  t.same(events, [
    'listener begins', 'listener ends', 'journal begins', 'journal ends', 'database begins', 'database ends'
  ])
})

t.test('a failure does not keep the others open; the first is reported with its cause', async t => {
  const lifecycle = new Lifecycle()
  const closed: string[] = []
  const cause = new Error('socket is stuck')
  lifecycle.push('first', () => { closed.push('first') })
  lifecycle.push('second', () => { throw new Error('later') })
  lifecycle.push('third', async () => await Promise.reject(cause))
  lifecycle.push('fourth', () => { closed.push('fourth') })
  await t.rejects(lifecycle.release(), { message: 'could not close third', cause })
  t.same(closed, ['fourth', 'first'])
  await t.rejects(lifecycle.release(), { message: 'could not close third' }, 'later callers get it too')
})

t.test('callers share one release', async t => {
  const lifecycle = new Lifecycle()
  let times = 0
  lifecycle.push('counter', async () => {
    await setImmediate()
    times++
  })
  await Promise.all([lifecycle.release(), lifecycle.release()])
  await lifecycle.release()
  t.equal(times, 1)
})

t.test('a releaser may push another', async t => {
  const lifecycle = new Lifecycle()
  const closed: string[] = []
  lifecycle.push('outer', () => {
    lifecycle.push('inner', () => { closed.push('inner') })
    closed.push('outer')
  })
  await lifecycle.release()
  t.same(closed, ['outer', 'inner'])
})

t.test('nothing opened, nothing to close', async t => {
  await t.resolves(new Lifecycle().release())
})
