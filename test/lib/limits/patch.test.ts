/** Changes to one metric's limits. */
import t from 'tap'
import { patchMetric } from '../../../lib/limits/patch.js'
import { METRICS } from '../../support/points/built-in.js'

const NAME: string = METRICS[0].name

function patched (limits: object | undefined, patch: unknown): unknown {
  const set = { default: limits === undefined ? {} : { [NAME]: limits }, overrides: {} }
  const changed = patchMetric(set, NAME, patch) as { default: Record<string, unknown> }
  return changed.default[NAME]
}

t.test('sets, replaces and removes limits; keeps the rest', (t) => {
  t.strictSame(patched({ low: { critical: 1 } }, { low: { warning: 2 } }), { low: { critical: 1, warning: 2 } })
  const both = { low: { critical: 3 }, high: { critical: 9 } }
  t.strictSame(patched({ low: { critical: 1 } }, both), both)
  t.strictSame(patched({ low: { critical: 1, warning: 2 } }, { low: { warning: null } }), { low: { critical: 1 } })
  t.strictSame(patched(both, { low: null }), { high: { critical: 9 } })
  t.strictSame(patched(both, { low: { critical: null } }), { high: { critical: 9 } }, 'no empty side remains')
  t.strictSame(patched(undefined, { low: { critical: 1 } }), { low: { critical: 1 } })
  t.strictSame(patched({ low: { critical: 1 } }, {}), { low: { critical: 1 } })
  t.end()
})

t.test('values that are not objects are kept, for validation to refuse', (t) => {
  for (const patch of [null, 5, 'x', []]) t.strictSame(patched({ low: { critical: 1 } }, patch), patch)
  t.strictSame(patched({ low: { critical: 1 } }, { low: 5 }), { low: 5 })
  t.end()
})

t.test('overrides and other metrics are kept', (t) => {
  const set = { default: { [METRICS[1].name]: { high: { critical: 5 } } }, overrides: { A: {} } }
  const patch = { low: { critical: 1 } }
  t.strictSame(patchMetric(set, NAME, patch), { default: { ...set.default, [NAME]: patch }, overrides: { A: {} } })
  t.end()
})
