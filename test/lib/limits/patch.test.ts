/** Changes of one metric's limits. */
import t from 'tap'
import { patchMetric } from '../../../lib/limits/patch.js'
import { METRICS } from '../../../protocol/metrics.js'

const NAME: string = METRICS[0].name
const patched = (limits: object | undefined, patch: unknown): unknown =>
  (patchMetric({ default: limits === undefined ? {} : { [NAME]: limits }, overrides: {} }, NAME, patch) as { default: Record<string, unknown> }).default[NAME]

t.test('sets, replaces, takes away; leaves the rest', (t) => {
  t.strictSame(patched({ low: { critical: 1 } }, { low: { warning: 2 } }), { low: { critical: 1, warning: 2 } })
  t.strictSame(patched({ low: { critical: 1 } }, { low: { critical: 3 }, high: { critical: 9 } }), { low: { critical: 3 }, high: { critical: 9 } })
  t.strictSame(patched({ low: { critical: 1, warning: 2 } }, { low: { warning: null } }), { low: { critical: 1 } })
  t.strictSame(patched({ low: { critical: 1 }, high: { critical: 2 } }, { low: null }), { high: { critical: 2 } })
  t.strictSame(patched({ low: { critical: 1 }, high: { critical: 2 } }, { low: { critical: null } }), { high: { critical: 2 } }, 'no empty side is left')
  t.strictSame(patched(undefined, { low: { critical: 1 } }), { low: { critical: 1 } })
  t.strictSame(patched({ low: { critical: 1 } }, {}), { low: { critical: 1 } })
  t.end()
})

t.test('what is no object stays what it is, for validation to refuse', (t) => {
  for (const patch of [null, 5, 'x', []]) t.strictSame(patched({ low: { critical: 1 } }, patch), patch)
  t.strictSame(patched({ low: { critical: 1 } }, { low: 5 }), { low: 5 })
  t.end()
})

t.test('overrides and other metrics stay', (t) => {
  const set = { default: { [METRICS[1].name]: { high: { critical: 5 } } }, overrides: { A: {} } }
  t.strictSame(patchMetric(set, NAME, { low: { critical: 1 } }), { default: { [METRICS[1].name]: { high: { critical: 5 } }, [NAME]: { low: { critical: 1 } } }, overrides: { A: {} } })
  t.end()
})
