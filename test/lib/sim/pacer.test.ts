import t from 'tap'
import fc from 'fast-check'
import { Pacer } from '../../../lib/sim/pacer.js'

/** Takes everything due at a moment; returns the point numbers and the largest slice. */
function takeAll (pacer: Pacer, elapsedMs: number): { points: number[], largest: number } {
  const points: number[] = []
  let largest = 0
  do {
    const slice = pacer.take(elapsedMs)
    largest = Math.max(largest, slice.count)
    for (let point = slice.first; point < slice.first + slice.count; point++) points.push(point)
  } while (pacer.isDue(elapsedMs))
  return { points, largest }
}

t.test('only the clock decides what is due', t => {
  const pacer = new Pacer({ pointsPerSecond: 1000, pointsPerMessage: 1, durationMs: Infinity })
  t.same(takeAll(pacer, 0).points, [0])
  t.same(takeAll(pacer, 0.9).points, [])
  t.same(takeAll(pacer, 3).points, [1, 2, 3])
  t.equal(pacer.dueMs(3), 3)
  t.notOk(pacer.isOver(1e9))
  t.end()
})

t.test('a slice has at most 5 ms of points', t => {
  const pacer = new Pacer({ pointsPerSecond: 10_000, pointsPerMessage: 10, durationMs: Infinity })
  const { points, largest } = takeAll(pacer, 60)
  t.equal(points.length, 601)
  t.equal(largest, 50)
  t.equal(pacer.skippedPoints, 0)
  t.end()
})

t.test('a slow rate yields single points', t => {
  const pacer = new Pacer({ pointsPerSecond: 0.5, pointsPerMessage: 1, durationMs: 10_000 })
  t.same(takeAll(pacer, 0).points, [0])
  t.same(takeAll(pacer, 1_999).points, [])
  t.same(takeAll(pacer, 2_000).points, [1])
  t.end()
})

t.test('points more than 100 ms late are skipped and counted', t => {
  const pacer = new Pacer({ pointsPerSecond: 1000, pointsPerMessage: 1, durationMs: Infinity })
  takeAll(pacer, 10)
  const { points } = takeAll(pacer, 1_010)
  t.equal(points[0], 911)
  t.equal(points.length, 100)
  t.equal(pacer.skippedPoints, 900)
  t.end()
})

t.test('a run has exactly its points and ends on time', t => {
  const pacer = new Pacer({ pointsPerSecond: 300, pointsPerMessage: 1, durationMs: 1_000 })
  let sent = 0
  for (let elapsedMs = 0; elapsedMs < 1_000; elapsedMs += 4) {
    sent += takeAll(pacer, elapsedMs).points.length
    t.notOk(pacer.isOver(elapsedMs))
  }
  sent += takeAll(pacer, 1_050).points.length
  t.equal(sent, 300)
  t.ok(pacer.isOver(1_050))
  t.end()
})

t.test('many messages a second warm up: the rate rises evenly to its full height', t => {
  const warmUpMs = (pointsPerSecond: number, pointsPerMessage: number, durationMs: number): number =>
    new Pacer({ pointsPerSecond, pointsPerMessage, durationMs }).warmUpMs
  t.equal(warmUpMs(1_000, 1, Infinity), 0)
  t.equal(warmUpMs(10_000, 10, Infinity), 0, 'counted in messages')
  t.equal(warmUpMs(10_000, 1, 60_000), 2_250)
  t.equal(warmUpMs(10_000, 1, 1_000), 250, 'a quarter of a short run')
  t.equal(warmUpMs(100_000, 1, Infinity), 3_000)

  const pacer = new Pacer({ pointsPerSecond: 10_000, pointsPerMessage: 1, durationMs: Infinity })
  const perSecond = (atMs: number): number => {
    takeAll(pacer, atMs)
    return takeAll(pacer, atMs + 10).points.length * 100
  }
  for (const [atMs, rate] of [[0, 1_000], [500, 3_000], [1_500, 7_000], [2_250, 10_000], [2_500, 10_000]] as const) {
    t.ok(Math.abs(perSecond(atMs) - rate) <= 150, `${rate}/s after ${atMs} ms`)
  }
  t.equal(pacer.dueMs(12_375), 2_250)
  t.end()
})

t.test('property: every point is taken once in order or skipped, none early, none later than 100 ms', t => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 200_000 }),
    fc.integer({ min: 1, max: 50 }),
    fc.integer({ min: 1, max: 2_000 }),
    fc.array(fc.double({ min: 0.01, max: 400, noNaN: true }), { maxLength: 40 }),
    (pointsPerSecond, pointsPerMessage, durationMs, steps) => {
      const pacer = new Pacer({ pointsPerSecond, pointsPerMessage, durationMs })
      let [elapsedMs, next, given] = [0, 0, 0]
      for (const step of [...steps, durationMs]) {
        elapsedMs += step
        do {
          const slice = pacer.take(elapsedMs)
          if (slice.first < next || slice.count > Math.max(1, pointsPerSecond / 200)) return false
          if (slice.count > 0 && pacer.dueMs(slice.first) < elapsedMs - 100 - 1e-6) return false
          if (slice.count > 0 && pacer.dueMs(slice.first + slice.count - 1) > elapsedMs + 1e-6) return false
          next = slice.first + slice.count
          given += slice.count
        } while (pacer.isDue(elapsedMs))
      }
      // Half a point is rounded either way, as its last bits are.
      const rising = Math.max(0, pointsPerSecond - 1_000 * pointsPerMessage) / 2 * pacer.warmUpMs
      const difference = given + pacer.skippedPoints - (pointsPerSecond * durationMs - rising) / 1000
      return pacer.isOver(elapsedMs) && Math.abs(difference) <= 0.5 + 1e-6
    }
  ))
  t.end()
})
