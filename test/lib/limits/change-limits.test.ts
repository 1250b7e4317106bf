/** Limits on change, by metric and satellite. */
import t from 'tap'
import { ChangeLimits } from '../../../lib/limits/change-limits.js'
import type { LimitSet } from '../../../lib/limits/limit-set.js'
import { BUILT_IN, METRICS, STREAM } from '../../support/points/built-in.js'

const [A, B, C] = METRICS.map(({ name }) => name) as [string, string, string]
const compiled = (set: LimitSet): ChangeLimits => new ChangeLimits({ version: 3, set }, BUILT_IN.streams)

t.test('what changes of a satellite are', (t) => {
  const limits = compiled({
    default: { [A]: { low: { critical: 1 } }, [C]: { change: { warning: 'any', critical: 'decrease' } } },
    overrides: {
      'SAT-*': { [B]: { change: { warning: 'increase' } } }, 'SAT-1': { [B]: {}, [C]: {} }
    }
  })
  t.equal(limits.orNull, limits)
  const watched = limits.of(STREAM)
  t.match(watched, { indexes: [1, 2], names: [B, C] })
  const other = { increase: 'warning', decrease: 'critical' }
  t.same(watched?.rulesOf('X'), [null, other])
  t.same(watched?.rulesOf('SAT-2'), [{ increase: 'warning', decrease: null }, other])
  t.equal(watched?.rulesOf('SAT-1'), null)
  t.same(watched?.rulesOf('X'), [null, other], 'again')
  t.end()
})

t.test('a stream without any, and no stream with one', (t) => {
  const limits = compiled({ default: { [A]: { low: { critical: 1 } } }, overrides: {} })
  t.equal(limits.of(STREAM), null)
  t.equal(limits.orNull, null)
  t.end()
})
