import t from 'tap'
import * as fc from 'fast-check'
import { bisect } from '../../benchmarks/bisection.js'

const search = { start: 100, factor: 2, low: 1, high: 10_000, resolution: 1.02, steps: 20 }
const upTo = (limit: number) => async (rate: number) => await Promise.resolve({ holds: rate <= limit, outcome: rate })

t.test('finds the limit from below and from above', async t => {
  for (const limit of [101, 777, 5000]) {
    const best = await bisect(search, upTo(limit))
    t.ok(best !== null && best.rate <= limit && best.rate > limit * 0.97, `${limit}: ${String(best?.rate)}`)
  }
  const below = await bisect(search, upTo(30))
  t.ok(below !== null && below.rate <= 30 && below.rate > 25)
})

t.test('stops at the highest rate', async t => {
  let attempts = 0
  const best = await bisect(search, async rate => {
    attempts++
    return await Promise.resolve({ holds: true, outcome: rate })
  })
  t.equal(best?.rate, 10_000)
  t.ok(best?.isHighest, 'more may hold')
  t.notOk((await bisect(search, upTo(9_000)))?.isHighest)
  t.ok(attempts < search.steps)
})

t.test('null when nothing holds, down to the lowest rate', async t => {
  const tried: number[] = []
  t.equal(await bisect({ ...search, steps: 1 }, async rate => {
    tried.push(rate)
    return await upTo(0)(rate)
  }), null)
  t.equal(tried.at(-1), search.low)
})

t.test('steps down until a rate holds, however far and however few steps remain', async t => {
  const best = await bisect({ ...search, start: 8_000, factor: 1.1, steps: 3 }, upTo(25))
  t.ok(best !== null && best.rate <= 25, String(best?.rate))
})

t.test('a sufficiently narrow gap ends the search', async t => {
  let attempts = 0
  await bisect({ ...search, start: 100, factor: 1.1, resolution: 1.2 }, async rate => {
    attempts++
    return await upTo(105)(rate)
  })
  t.equal(attempts, 2)
})

t.test('never returns a rate that failed, and respects the number of trials', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 20_000 }), fc.integer({ min: 1, max: 12 }), async (limit, steps) => {
      let attempts = 0
      const best = await bisect({ ...search, steps }, async rate => {
        attempts++
        return await upTo(limit)(rate)
      })
      return (attempts <= steps || limit < search.start) && best !== null && best.rate <= limit
    })
  )
})
