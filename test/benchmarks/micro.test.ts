import t from 'tap'
import { microCases } from '../../benchmarks/micro/cases.js'
import { measureCase } from '../../benchmarks/micro/measure.js'

t.test('every part runs without error', t => {
  for (const { name, call } of microCases()) t.doesNotThrow(call, name)
  t.end()
})

t.test('points per second are derived from points per call', t => {
  let calls = 0
  const spin = (): void => {
    calls++
    const endMs = performance.now() + 1
    while (performance.now() < endMs);
  }
  const startedMs = performance.now()
  const figure = measureCase({ name: 'spin', points: 100, call: spin }, { runMs: 20, runs: 3 })
  const allMs = performance.now() - startedMs
  t.ok(calls > 0)
  t.ok(
    figure.pointsPerSecond <= 100_000 && figure.pointsPerSecond >= 100 / allMs * 1000,
    String(figure.pointsPerSecond)
  )
  t.ok(Math.abs(figure.nanosPerPoint * figure.pointsPerSecond - 1e9) < 1)
  t.end()
})
