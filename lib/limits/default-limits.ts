/** The limits from the configuration, one critical limit per metric: stored in a database that has none yet. */
import type { Config } from '../config/config.js'
import { METRICS } from '../../protocol/metrics.js'
import type { LimitSet } from './limit-set.js'

export function defaultLimits (config: Config): LimitSet {
  const limits = METRICS.map(({ name, limit }) => [name, { [limit.side]: { critical: config[`threshold_${name}`] } }])
  return { default: Object.fromEntries(limits) as LimitSet['default'], overrides: {} }
}
