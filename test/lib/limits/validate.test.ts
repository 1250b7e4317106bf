/** Which sets of limits are valid, and how the faults of others are named. */
import t from 'tap'
import * as fc from 'fast-check'
import { METRICS, TELEMETRY } from '../../support/points/built-in.js'
import { catalogueOf } from '../../support/points/catalogues.js'
import { LIMIT_SET_BYTES_MAX, MATCH_STEPS_MAX, OVERRIDES_MAX } from '../../../lib/limits/validate.js'
import { parseLimitSet, parseStoredLimitSet, type LimitFault } from '../../../lib/limits/validate.js'
import { FLOAT } from '../../../protocol/value-types.js'
import { anySet, setIsValid } from './arbitrary-sets.js'

const [BATTERY, STORAGE] = METRICS.map(({ name }) => name) as [string, string]

function faultsOf (value: unknown): readonly LimitFault[] {
  const parsed = parseLimitSet(value, TELEMETRY, null)
  return parsed.ok ? [] : parsed.faults
}

t.test('property: a set is accepted exactly if it meets the documented rules', (t) => {
  let valid = 0
  fc.assert(fc.property(anySet, (value) => {
    const expected = setIsValid(value)
    if (expected) valid++
    return parseLimitSet(value, TELEMETRY, null).ok === expected
  }), { numRuns: 3_000 })
  t.ok(valid > 300 && valid < 2_700, `${valid} of 3,000 sets were valid`)
  t.end()
})

t.test('property: an accepted set survives JSON, and is accepted again unchanged', (t) => {
  fc.assert(fc.property(anySet, (value) => {
    const parsed = parseLimitSet(value, TELEMETRY, null)
    if (!parsed.ok) return true
    const again = parseLimitSet(JSON.parse(JSON.stringify(parsed.set)), TELEMETRY, null)
    return again.ok && JSON.stringify(again.set) === JSON.stringify(parsed.set)
  }), { numRuns: 500 })
  t.end()
})

t.test('every fault is named, with its path', (t) => {
  const faults = faultsOf({
    default: { [BATTERY]: { low: { warning: 5, critical: 10 }, high: { critical: 7 } }, voltage: {} },
    overrides: { 'SAT-*': { [STORAGE]: { high: { critical: NaN }, low: {} } }, ' A': {} },
    more: 1
  })
  t.strictSame(faults.map(({ field }) => field).sort(), [
    'more', `default.${BATTERY}.low`, `default.${BATTERY}`, 'default.voltage',
    `overrides["SAT-*"].${STORAGE}.high.critical`, `overrides["SAT-*"].${STORAGE}.low`, 'overrides[" A"]'
  ].sort())
  const messageOf = (path: string): string | undefined => faults.find(({ field }) => field === path)?.message
  t.match(messageOf(`default.${BATTERY}`), 'low limit 10 is not less than high limit 7')
  t.match(messageOf('default.voltage'), new RegExp(BATTERY))
  t.end()
})

t.test('the copy has metrics in schema order and sorted overrides, whatever their names', (t) => {
  const overrides = `{"b":{},"__proto__":{"${BATTERY}":{}},"a":{}}`
  const value: unknown = JSON.parse(`{"overrides":${overrides},"default":{"${STORAGE}":{},"${BATTERY}":{}}}`)
  const parsed = parseLimitSet(value, TELEMETRY, null)
  if (!parsed.ok) throw new Error('refused')
  t.strictSame(Object.keys(parsed.set.default), [BATTERY, STORAGE])
  t.strictSame(Object.keys(parsed.set.overrides), ['__proto__', 'a', 'b'])
  t.end()
})

t.test('bounds: overrides, and faults per response', (t) => {
  const overrides = (count: number, value: unknown): unknown => {
    const entries = Array.from({ length: count }, (_, index) => [`S${index}`, value] as const)
    return { default: {}, overrides: Object.fromEntries(entries) }
  }
  t.strictSame(faultsOf(overrides(OVERRIDES_MAX, {})), [])
  t.match(faultsOf(overrides(OVERRIDES_MAX + 1, {})), [{ field: 'overrides', message: /at most 10000/ }])
  t.equal(faultsOf(overrides(5_000, 1)).length, 1_000)
  let messages = 0
  const names = Object.assign(Array.from({ length: 30 }, (_, index) => `m${index}`), {
    slice: () => {
      messages++
      return []
    }
  })
  const parsed = parseLimitSet(overrides(5_000, { x: 1 }), { metrics: names, types: names.map(() => FLOAT) }, null)
  t.equal(parsed.ok || parsed.faults.length, 1_000)
  t.equal(messages, 1_000, 'nothing is composed that is not told')
  t.end()
})

function withKeys (keys: readonly string[], limits: unknown = {}): unknown {
  return { default: {}, overrides: Object.fromEntries(keys.map((key) => [key, limits])) }
}

function numbered (count: number, key: (digits: string, index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => key(String(index).padStart(5, '0'), index))
}

t.test('the patterns of typical fleets are cheap, however many', (t) => {
  const constellations = ['GPS', 'GALILEO', 'STARLINK', 'ONEWEB', 'IRIDIUM', 'SENTINEL', 'O3B', 'COSMO-SKYMED']
  for (const [name, keys] of [
    ['ids', numbered(2_000, (digits) => `SAT-${digits}`)],
    ['prefixes', numbered(2_000, (digits) => `SAT-${digits}*`)],
    ['suffixes', numbered(OVERRIDES_MAX, (digits) => `*-${digits}`)],
    ['both', numbered(2_000, (digits, index) => {
      return `${constellations[index % 8]!}-*-${digits.slice(0, 2 + index % 4)}${index}`
    })],
    ['many levels', numbered(2_000, (digits, index) => `${constellations[index % 8]!}-${digits.slice(0, index % 5)}*`)],
    ['words in the middle', [
      '*', '*-TEST', '*-SPARE',
      ...constellations.flatMap((each) => [`${each}-*`, `${each}-*-EU-*`, `${each}-*-US-*`])
    ]]
  ] as const) t.strictSame(faultsOf(withKeys(keys)), [], name)
  t.end()
})

t.test('costly patterns are refused, with their cost', (t) => {
  const costly = [
    numbered(10_000, (digits) => '*a'.repeat(7) + digits + '*'),
    numbered(MATCH_STEPS_MAX / 4, (digits) => `*${digits}*`),
    numbered(MATCH_STEPS_MAX, (_, index) => '*' + 'a'.repeat(index)),
    Array.from({ length: 20 }, (_, p) => numbered(20, (_, q) => 'a'.repeat(p) + '*' + 'a'.repeat(q))).flat()
  ]
  for (const keys of costly) {
    t.match(faultsOf(withKeys(keys)), [{ field: 'overrides', message: /cost \d+ steps .* at most 64/ }], keys[1]!)
  }
  const wild = '*a'.repeat(9)
  t.match(faultsOf(withKeys([wild])), [{ field: `overrides["${wild}"]`, message: 'more than 8 *' }])
  t.end()
})

t.test('the size of a set is limited', (t) => {
  const long = {
    low: { warning: -1.2345678901234e-300, critical: -1.2345678901234e-200 },
    high: { warning: 1.2345678901234e200, critical: 1.2345678901234e300 }
  }
  const limits = Object.fromEntries(METRICS.map(({ name }) => [name, long]))
  const keys = numbered(OVERRIDES_MAX, (digits) => '\u{1f6f0}'.repeat(58) + digits)
  t.match(faultsOf(withKeys(keys, limits)), [{ field: '', message: new RegExp(`at most ${LIMIT_SET_BYTES_MAX}`) }])
  t.end()
})

t.test('states and bools have lists of values', (t) => {
  const { telemetry: { schema } } = catalogueOf(
    'mode: { id: 1, type: state, states: { OFF: 0, SAFE: 1, LOST: -3 } }', 'on: { id: 2, type: bool }',
    'volts: { id: 3 }')
  const faults = (metric: string, limits: unknown): unknown[] => {
    const parsed = parseLimitSet({ default: { [metric]: limits } }, schema, null)
    return parsed.ok ? [] : parsed.faults.map(({ field, message }) => `${field} ${message}`)
  }
  for (const [metric, limits] of [
    ['mode', { states: { warning: ['OFF', 'SAFE'] } }], ['mode', {}], ['on', { states: { critical: [false] } }],
    ['mode', { states: { warning: ['SAFE'] }, change: { warning: 'any' } }], ['on', { change: { critical: 'any' } }],
    ['volts', { low: { warning: 2 }, change: { warning: 'any', critical: 'decrease' } }]
  ] as const) t.same(faults(metric, limits), [])
  for (const [metric, limits, fault] of [
    ['mode', { low: { critical: 1 } }, 'default.mode.low is not known; use states, change'],
    ['mode', [], 'default.mode must be an object with states, change'],
    ['volts', null, 'default.volts must be an object with low, high, change'],
    ['mode', { states: [], change: { warning: 'any' } },
      'default.mode.states must be an object with warning, critical'],
    ['on', { states: { critical: true } }, 'default.on.states.critical must be a list of true or false'],
    ['mode', { states: {} }, 'default.mode.states has neither warning nor critical; leave it out instead'],
    ['mode', { states: { critical: [] } }, 'default.mode.states.critical must be a list of names of states'],
    ['mode', { states: { critical: 'SAFE' } }, 'default.mode.states.critical must be a list of names of states'],
    ['mode', { states: { critical: ['LOS'] } },
      'default.mode.states.critical[0] must be one of the states LOST, OFF, SAFE; did you mean LOST?'],
    ['mode', { states: { critical: [1] } },
      'default.mode.states.critical[0] must be one of the states LOST, OFF, SAFE'],
    ['mode', { states: { warning: ['OFF'], critical: ['OFF'] } },
      'default.mode.states.critical[0] OFF is listed already'],
    ['mode', { states: { critical: ['OFF', 'SAFE', 'LOST'] } }, 'default.mode.states lists every value as an anomaly'],
    ['on', { states: { critical: [true, false] } }, 'default.on.states lists every value as an anomaly'],
    ['on', { states: { critical: ['true'] } }, 'default.on.states.critical[0] must be true or false'],
    ['volts', { states: { critical: [true] } }, 'default.volts.states is not known; use low, high, change'],
    ['volts', { change: {} }, 'default.volts.change has neither warning nor critical; leave it out instead'],
    ['volts', { change: 'any' }, 'default.volts.change must be an object with warning, critical'],
    ['volts', { change: { warning: 'up' } }, 'default.volts.change.warning must be any or increase or decrease'],
    ['volts', { change: { warning: 'increase', critical: 'any' } },
      'default.volts.change has a warning only for changes that are critical: it would never take effect'],
    ['mode', { change: { critical: 'increase' } }, 'default.mode.change.critical must be any']
  ] as const) t.same(faults(metric, limits).slice(0, 1), [fault])
  const newer = { default: { mode: { states: { critical: ['NEW'] } } }, overrides: {} }
  const stored = parseStoredLimitSet(newer, schema)
  if (!stored.ok) throw new Error('refused')
  t.match(parseLimitSet(newer, schema, stored.set), { ok: true, set: newer }, 'a state of a newer server stays')
  t.match(parseLimitSet(newer, schema, null), { ok: false }, 'and cannot be added')
  t.end()
})

t.test('limits of metrics known only to a newer server are kept, and cannot be changed', (t) => {
  const newer = {
    default: { voltage: { change: { warning: 1 } }, [BATTERY]: {} },
    overrides: { 'S*': { voltage: { low: { critical: 1 } } } }
  }
  const stored = parseStoredLimitSet(newer, TELEMETRY)
  if (!stored.ok) throw new Error('refused')
  t.same(stored.set, newer, 'the set is accepted')
  const changed = { ...newer, default: { ...newer.default, [BATTERY]: { low: { critical: 5 } } } }
  t.match(parseLimitSet(changed, TELEMETRY, stored.set), { ok: true, set: changed })
  for (const other of [
    { ...changed, default: { voltage: { change: { warning: 2 } } } },
    { ...changed, overrides: { 'S*': { voltage: { low: { critical: 2 } } } } },
    { ...changed, overrides: { 'T*': newer.overrides['S*'] } },
    { ...changed, default: { current: {} } }
  ]) t.match(parseLimitSet(other, TELEMETRY, stored.set), { ok: false, faults: [{ message: /is not known/ }] })
  t.match(parseLimitSet(changed, TELEMETRY, null), { ok: false })
  t.end()
})
