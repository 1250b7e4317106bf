import t from 'tap'
import { defaultLimits, withLimitsOf, thresholdsInUse } from '../../../lib/catalogue/default-limits.js'
import { BUILT_IN } from '../../support/points/built-in.js'
import { catalogueOf } from '../../support/points/catalogues.js'

const NONE = {
  threshold_battery_charge_percent: null, threshold_storage_usage_mb: null, threshold_signal_strength_dbm: null
}

t.test('a variable of the environment replaces the critical limit of its metric, if there is one', (t) => {
  const config = { ...NONE, threshold_battery_charge_percent: 12 }
  t.match(defaultLimits(config, BUILT_IN).default, { battery_charge_percent: { low: { critical: 12 } } })
  t.match(thresholdsInUse(config, BUILT_IN), [{ env: 'ANOMALY_THRESHOLD_BATTERY' }])
  const other = catalogueOf('voltage: { id: 1 }')
  t.strictSame(defaultLimits(config, other).default, {})
  t.strictSame(thresholdsInUse(config, other), [])
  t.end()
})

t.test('one that does not fit the other limits is refused by name', (t) => {
  const catalogue = catalogueOf('battery_charge_percent: { id: 1, limits: { low: { warning: 20, critical: 10 } } }')
  const wanted = { name: 'StartupError', message: /^ANOMALY_THRESHOLD_BATTERY=30 .*: low warning 20 is not above critical 30/ }
  t.throws(() => defaultLimits({ ...NONE, threshold_battery_charge_percent: 30 }, catalogue), wanted)
  const state = catalogueOf('battery_charge_percent: { id: 1, type: state, states: { LOW: 0, FULL: 1 } }')
  t.throws(
    () => defaultLimits({ ...NONE, threshold_battery_charge_percent: 30 }, state), { message: /: low is not known; use states/ })
  t.match(
    defaultLimits({ ...NONE, threshold_battery_charge_percent: 15 }, catalogue).default,
    { battery_charge_percent: { low: { warning: 20, critical: 15 } } })
  t.end()
})

t.test('limits of new metrics join those in force, if together they are a valid set', (t) => {
  const catalogue = catalogueOf('a: { id: 1 }', 'b: { id: 2, limits: { low: { critical: 3 } } }')
  const stream = catalogue.telemetry
  const added = stream.metrics.slice(1).map((metric) => ({ stream, metric }))
  // Those of a newer host's metric stay.
  const inForce = { default: { newer: { high: { warning: 1 } } }, overrides: { X: { a: { low: { critical: 1 } } } } }
  t.same(withLimitsOf(added, inForce, catalogue), {
    ...inForce, default: { b: { low: { critical: 3 } }, newer: { high: { warning: 1 } } }
  })
  t.same(withLimitsOf(added, { default: { b: {} }, overrides: {} }, catalogue).default, { b: {} }, 'those in force win')
  const costly = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`*a*${index}*b*`, {}]))
  t.throws(
    () => withLimitsOf(added, { default: {}, overrides: costly }, catalogue), /cannot be added to those in force/)
  t.end()
})
