import t from 'tap'
import { defaultLimits, thresholdsInUse } from '../../../lib/catalogue/default-limits.js'
import { BUILT_IN } from '../../support/built-in.js'
import { catalogueOf } from '../../support/catalogues.js'

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
  const wanted = { name: 'StartupError', message: /^ANOMALY_THRESHOLD_BATTERY=30 .*20 is not above critical 30/ }
  t.throws(() => defaultLimits({ ...NONE, threshold_battery_charge_percent: 30 }, catalogue), wanted)
  const state = catalogueOf('battery_charge_percent: { id: 1, type: state, states: { LOW: 0, FULL: 1 } }')
  t.throws(
    () => defaultLimits({ ...NONE, threshold_battery_charge_percent: 30 }, state), { message: /known are states/ })
  t.match(
    defaultLimits({ ...NONE, threshold_battery_charge_percent: 15 }, catalogue).default,
    { battery_charge_percent: { low: { warning: 20, critical: 15 } } })
  t.end()
})
