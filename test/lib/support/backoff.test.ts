import t, { type Test } from 'tap'
import { Backoff } from '../../../lib/support/backoff.js'

/** Delays passed to setTimeout, each of which ends immediately. */
function watchDelays (t: Test): number[] {
  const delays: number[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (wake: () => void, delayMs: number) => {
      delays.push(delayMs)
      return setImmediate(wake)
    }
  })
  return delays
}

t.test('doubles from least to most, with up to 25% jitter', async (t) => {
  const delays = watchDelays(t)
  const backoff = new Backoff(100, 1000)
  for (let i = 0; i < 7; i++) await backoff.wait()
  t.equal(delays.length, 7)
  for (const [i, most] of [100, 200, 400, 800, 1000, 1000, 1000].entries()) {
    t.ok(delays[i]! >= most * 0.75 && delays[i]! <= most, `${delays[i]} of ${most}`)
  }
})

t.test('reset restarts from the shortest delay', async (t) => {
  const delays = watchDelays(t)
  const backoff = new Backoff(100, 1000)
  for (let turn = 0; turn < 2; turn++) {
    for (let i = 0; i < 3; i++) await backoff.wait()
    backoff.reset()
  }
  await backoff.wait()
  for (const i of [0, 3, 6]) t.ok(delays[i]! <= 100, String(delays[i]))
  for (const i of [2, 5]) t.ok(delays[i]! >= 300, String(delays[i]))
})

t.test('processes that fail together do not retry together', async (t) => {
  const delays = watchDelays(t)
  for (let i = 0; i < 20; i++) await new Backoff(1000, 1000).wait()
  t.ok(new Set(delays).size > 10)
})

t.test('really waits', async (t) => {
  const startedMs = performance.now()
  await new Backoff(20, 20).wait()
  t.ok(performance.now() - startedMs >= 14)
})

t.test('cancel ends a wait immediately, and does nothing without one', async (t) => {
  const backoff = new Backoff(3_600_000, 3_600_000)
  backoff.cancel()
  for (let turn = 0; turn < 2; turn++) {
    const waiting = backoff.wait()
    backoff.cancel()
    await waiting
  }
  backoff.cancel()
  t.pass()
})
