import t from 'tap'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { BUILT_IN, STORED_AS_SET, type Catalogue, type NumberSimulation } from '../../../protocol/catalogue.js'
import { FILE_BYTES_MAX, parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { catalogueJson } from '../../../lib/catalogue/catalogue-json.js'
import { RESERVED_NAMES } from '../../../lib/catalogue/name-rules.js'
import { compareCatalogues, isSameCatalogue } from '../../../lib/catalogue/evolution.js'
import { EXAMPLE } from '../../../lib/catalogue/example.js'
import { anyCatalogue, anySmallCatalogue } from '../../support/points/catalogues.js'

const SCHEMA = JSON.parse(
  readFileSync(new URL('../../../../protocol/catalogue.schema.json', import.meta.url), 'utf8')) as object
const fits = new Ajv({ strict: true }).compile(SCHEMA)

function faultsOf (text: string): string[] {
  const parsed = parseCatalogue(text)
  return parsed.ok ? [] : parsed.faults.map(({ line, column, path, message }) => `${line}:${column} ${path} ${message}`)
}

/** A file of one stream with these lines under `metrics`. */
const file = (...metrics: string[]): string => [
  'catalogue: 1', 'streams:', '  telemetry:', '    metrics:', ...metrics.map((line) => `      ${line}`)
].join('\n')

t.test('the example is valid, and fits the published schema', (t) => {
  const parsed = parseCatalogue(EXAMPLE)
  t.ok(parsed.ok)
  if (!parsed.ok) return t.end()
  t.strictSame(
    parsed.catalogue.telemetry.live.map(({ name }) => name),
    [
      'battery_charge_percent', 'bus_voltage', 'panel_temperature', 'transmitter_power', 'frames_lost',
      'mode', 'heater_on'
    ])
  t.ok(fits(catalogueJson(parsed.catalogue)), JSON.stringify(fits.errors))
  t.strictSame(compareCatalogues(BUILT_IN, parsed.catalogue).faults, [], 'it fits what the demo leaves behind')
  t.end()
})

t.test('property: a catalogue survives JSON, as the database has it, and YAML, and fits the schema', (t) => {
  const survives = (catalogue: Catalogue): void => {
    const json: unknown = JSON.parse(JSON.stringify(catalogueJson(catalogue)))
    for (const text of [JSON.stringify(json), stringify(json)]) {
      const parsed = parseCatalogue(text)
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
      if (!isSameCatalogue(parsed.catalogue, catalogue)) throw new Error('not the same')
    }
    if (!fits(json)) throw new Error(JSON.stringify(fits.errors))
  }
  fc.assert(fc.property(anySmallCatalogue, survives), { numRuns: 50 })
  // Large ones take as long as dozens of small ones.
  fc.assert(fc.property(anyCatalogue, survives), { numRuns: 3 })
  t.ok(isSameCatalogue(BUILT_IN, BUILT_IN))
  t.end()
})

t.test('every fault is named, with its place', (t) => {
  t.strictSame(faultsOf(file('a: { id: 1, titel: A }', 'b: { id: 1 }', 'C: { id: 3 }', 'time: { id: 4 }', 'd: {}')), [
    '5:19 streams.telemetry.metrics.a.titel is not known here; did you mean title?',
    '6:12 streams.telemetry.metrics.b.id 1 is already the id of a',
    '7:7 streams.telemetry.metrics.C is not a valid metric name: ' +
      '1 to 41 lower-case letters, digits and _, beginning with a letter',
    '8:7 streams.telemetry.metrics.time is a name that every point or table already has',
    '9:7 streams.telemetry.metrics.d has no id: give it a number of its own, which never changes'
  ])
  t.match(
    faultsOf(file('a: { id: 1, unit: 5 }')),
    [/unit must be text of at most 24 characters on one line; put it in quotes: "5"/])
  t.match(
    faultsOf(file('a: { id: 1, limits: { low: { warning: 5, critical: 9 } } }')),
    [/a\.limits\.low warning 5 is not above critical 9/])
  t.match(
    faultsOf(file('a: { id: 1, aliases: [b, B] }', 'b: { id: 2 }')),
    [/5:29 .*aliases\.0 is already a name of b/, /5:32 .*aliases\.1 is not a valid metric name/])
  t.match(
    faultsOf(file('a: { id: 1, simulate: { kind: dance, between: [3, 1] } }')),
    [/kind must be one of charge, fill/, /between must be two numbers/])
  t.match(faultsOf(file('a: { id: 1, retired: true }')), [/are all retired/])
  t.match(
    faultsOf(file('a: { id: 0 }', 'b: { id: 1.5 }', 'c: { id: "1" }')),
    Array(3).fill(/id must be a whole number from 1 to 32767/))
  t.match(
    faultsOf(file('a: { id: 1, type: text }', 'b: { id: 2, type: state }', 'c: { id: 3, states: { ON: 1 } }')),
    [
      /a\.type must be one of float, float32, int, bool, state/, /b has no states/,
      /c\.states are for metrics of the type/
    ])
  t.match(
    faultsOf(file('a: { id: 1, type: state, states: { OFF: 0, 1: 1, ON: 0, FAST: 1.5, FAR: 32768 } }')),
    [/states\.1 is not a valid state name/, /states\.ON 0 is already the number of OFF/,
      /FAST must be a whole number from -32768 to 32767/, /FAR must be a whole number/])
  for (const [metric, fault] of [
    ['aliases: b', 'aliases must be a list of names'],
    ['type: state, states: [A]', 'states must be a mapping'],
    ['limits: 5', 'limits must be an object with low, high, change'],
    ['type: state, limits: { states: { critical: [A] } }', 'a has no states: names with their numbers'],
    ['simulate: walk', 'simulate must be a mapping with kind, between, beyond'],
    ['type: bool, simulate: [1]', 'simulate must be a mapping with kind'],
    ['resolution: 0', 'resolution must be a number above 0'], ['retired: 1', 'retired must be true or false']
  ] as const) t.match(faultsOf(file(`a: { id: 1, ${metric} }`)), [fault], metric)
  t.match(faultsOf(file('a: { id: 1, type: state, states: {} }')), [/must have 1 to 256 names with their numbers/])
  t.match(
    faultsOf(file(
      'a: { id: 1, type: bool, limits: { low: { critical: 1 } } }',
      'b: { id: 2, type: bool, limits: { states: { critical: [true, "false"] } } }',
      'c: { id: 3, limits: { states: { critical: [ON] } } }',
      'd: { id: 4, type: state, states: { SAFE: 0, LOST: 1 }, limits: { states: { critical: [SAFE, LOS, LOST] } } }',
      'e: { id: 5, type: bool, simulate: { kind: walk } }')),
    [
      /5:41 .*a\.limits\.low is not known; use states/,
      /6:68 .*b\.limits\.states\.critical\.1 must be true or false/,
      /c\.limits\.states is not known; use low, high/,
      /d\.limits\.states lists every value as an anomaly/,
      /critical\.1 must be one of the states SAFE, LOST; did you mean LOST\?/,
      /e\.simulate\.kind must be states/
    ])
  t.end()
})

t.test('valid ranges: of one or two ends, with everything that must be within them', (t) => {
  const parsed = parseCatalogue(file(
    'a: { id: 1, range: { min: 0 } }', 'b: { id: 2, type: int, range: { min: -0.0, max: 9, outside: refuse } }',
    'c: { id: 3, type: float32, range: { max: 0.1, outside: null }, limits: { high: { critical: 0.1 } } }',
    'd: { id: 4, range: { min: 0, max: 100 }, limits: { low: { critical: 0 }, high: { critical: 99 } } }'))
  t.ok(parsed.ok, JSON.stringify(parsed))
  if (!parsed.ok) return t.end()
  const { metrics } = parsed.catalogue.telemetry
  t.strictSame(metrics.map(({ range }) => range), [
    { min: 0, max: null, outside: 'flag' }, { min: 0, max: 9, outside: 'refuse' },
    { min: null, max: 0.1, outside: 'null' }, { min: 0, max: 100, outside: 'flag' }
  ])
  t.same((metrics[3]?.simulation as NumberSimulation).beyond?.[1], 100, 'simulated anomalies are valid values')
  t.strictSame(faultsOf(file(
    'a: { id: 1, range: { min: 3, max: 2 } }', 'b: { id: 2, type: bool, range: { min: 0 } }', 'c: { id: 3, range: {} }',
    'd: { id: 4, type: int, range: { min: 0.5 } }', 'e: { id: 5, type: float32, range: { max: 1e39 } }',
    'f: { id: 6, range: { min: 0, outside: } }', 'g: { id: 7, range: { min: 0, max: 9, outside: drop } }',
    'h: { id: 8, range: { min: 0 }, limits: { low: { critical: -1 } } }',
    'i: { id: 9, range: { max: 5 }, simulate: { between: [0, 6], beyond: [7, 8] } }',
    'j: { id: 10, range: [0, 1] }')), [
    '5:28 streams.telemetry.metrics.a.range.min must not be above max, but 3 is above 2',
    '6:31 streams.telemetry.metrics.b.range is for numbers only',
    '7:19 streams.telemetry.metrics.c.range must have min, max or both',
    '8:39 streams.telemetry.metrics.d.range.min must be a whole number between -2^53 and 2^53',
    '9:43 streams.telemetry.metrics.e.range.max must be a number within ±3.4e38, the range of 32-bit floats',
    '10:36 streams.telemetry.metrics.f.range.outside must be one of flag, null, refuse',
    '11:44 streams.telemetry.metrics.g.range.outside must be one of flag, null, refuse',
    '12:55 streams.telemetry.metrics.h.limits.low.critical -1 is outside the valid range',
    '13:50 streams.telemetry.metrics.i.simulate.between is outside the valid range: 0 to 6',
    '13:67 streams.telemetry.metrics.i.simulate.beyond is outside the valid range: 7 to 8',
    '14:20 streams.telemetry.metrics.j.range must be a mapping with min, max, outside'
  ])
  t.end()
})

t.test('property: what is simulated without being told is within limits and valid range', (t) => {
  const anyEnds = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 4, maxLength: 4 })
    .map((ends) => ends.sort((a, b) => a - b))
  const anyType = fc.constantFrom('float', 'float32', 'int')
  const anyKeys = fc.subarray(['min', 'low', 'high', 'max'])
  fc.assert(fc.property(anyType, anyEnds, anyKeys, (type, ends, has) => {
    const [min = 0, low = 0, high = 0, max = 0] = ends.map((end) => type === 'int' ? end : end / 10)
    const limits = {
      ...has.includes('low') ? { low: { critical: low } } : {},
      ...has.includes('high') && high > low ? { high: { critical: high } } : {}
    }
    const range = { ...has.includes('max') ? { max } : {}, ...has.includes('min') ? { min } : { max } }
    const faults = faultsOf(file(`a: ${JSON.stringify({ id: 1, type, range, limits })}`))
    if (faults.length > 0) throw new Error(faults.join())
  }), { numRuns: 200 })
  t.end()
})

t.test('names that PostgreSQL, our SQL or every object has are reserved, in the published schema as well', (t) => {
  for (const name of RESERVED_NAMES) {
    const faults = [/is a name that every point or table already has/]
    t.match(faultsOf(file(`${name}: { id: 1 }`)), faults, name)
    t.match(faultsOf(file(`a: { id: 1, aliases: [${name}] }`)), faults, name)
    t.notOk(fits({ catalogue: 1, streams: { telemetry: { metrics: { [name]: { id: 1 } } } } }), name)
  }
  t.match(faultsOf(file('__proto__: { id: 1 }')), [/__proto__ is not a valid metric name/])
  t.match(
    faultsOf('{ catalogue: 1, __proto__: {}, streams: {} }'), [/__proto__ is not known here/, /must have the stream/])
  for (const name of Object.getOwnPropertyNames(Object.prototype)) {
    t.ok(RESERVED_NAMES.has(name) || faultsOf(file(`${name}: { id: 1 }`)).length > 0, name)
  }
  t.end()
})

t.test('streams: ids, names, and what a catalogue must have', (t) => {
  const streams = (...more: string[]): string => (
    `{ catalogue: 1, streams: { telemetry: { metrics: { a: { id: 1 } } }, ${more.join(', ')} } }`)
  const of = (name: string, rest: string): string => `${name}: { ${rest}, metrics: { a: { id: 1 } } }`
  const parsed = parseCatalogue(streams(of('radio', 'id: 255, interval: 2s, title: R'), of('power', 'id: 2')))
  t.ok(parsed.ok)
  if (!parsed.ok) return t.end()
  t.strictSame(
    parsed.catalogue.streams.map(({ id, name, title, intervalMs }) => [id, name, title, intervalMs]),
    [[1, 'telemetry', 'Telemetry', null], [2, 'power', 'Power', null], [255, 'radio', 'R', 2_000]])
  t.ok(fits(JSON.parse(JSON.stringify(catalogueJson(parsed.catalogue)))), JSON.stringify(fits.errors))
  t.match(faultsOf(streams(of('power', 'title: x'))), [/streams\.power has no id/])
  t.match(faultsOf(streams(of('power', 'id: 1'))), [/power\.id must be a whole number from 2 to 255/])
  t.match(faultsOf(streams(of('power', 'id: 2'), of('radio', 'id: 2'))), [/radio\.id 2 is already the id of power/])
  t.match(faultsOf(streams(of('power', 'id: 2, interval: 5'))), [/interval must be a time from 1ms to 1d/])
  const stored = parseCatalogue(streams(
    of('power', 'id: 2, retention: 1.5h, chunk_interval: 5m, compress_after: 600s')))
  t.ok(stored.ok)
  t.strictSame(stored.ok && stored.catalogue.streams.map(({ storage }) => storage), [STORED_AS_SET, {
    retentionMs: 5_400_000, chunkIntervalMs: 300_000, compressAfterMs: 600_000
  }])
  t.strictSame(
    faultsOf(streams(of('power', 'id: 2, retention: 30s, chunk_interval: 5, compress_after: soon, retenton: 1d'))),
    [
      '1:86 streams.power.retention must be a duration such as 12h or 7d, from 1m to 36500d',
      '1:102 streams.power.chunk_interval must be a duration such as 12h or 7d, from 1m to 365d',
      '1:121 streams.power.compress_after must be a duration such as 12h or 7d, from 1m to 36500d',
      '1:143 streams.power.retenton is not known here; did you mean retention?'
    ])
  t.match(
    faultsOf('{ catalogue: 1, streams: { power: { id: 2, metrics: { a: { id: 1 } } } } }'), [/must have the stream/])
  for (const name of ['Power', '1a', 'x'.repeat(25), 'a-b']) {
    t.match(faultsOf(streams(of(name, 'id: 2'))), [/is not a valid stream name/], name)
  }
  for (const name of [
    'anomalies', 'rollup_10s', 'x_10s', 'x_late', 'x_p20261128', 'a_rollup', 'limits', 'order', 'user', 'batch',
    'telemetry_1m', 'satellites', 'orbitstream_x', 'pg_x', 'catalogue', 'await'
  ]) t.match(faultsOf(streams(of(name, 'id: 2'))), [/is a name that a table, a path or SQL already has/], name)
  t.strictSame(faultsOf(streams(of('x_await', 'id: 2'))), [])
  t.match(faultsOf(streams(of('x_await', 'id: 2'), of('x', 'id: 3'))), [/x_await needs the functions that x has/])
  const many = (count: number): string => (
    streams(...Array.from({ length: count }, (_, at) => of(`s${at}`, `id: ${at + 2}`))))
  t.strictSame(faultsOf(many(31)), [])
  t.match(faultsOf(many(32)), [/must have at most 32 streams, not 33/])
  t.end()
})

t.test('text and numbers that the database would give back otherwise', (t) => {
  for (const escape of ['\\ud800', '\\udc00x', '\\u0000', '\\n']) {
    t.match(faultsOf(file(`a: { id: 1, title: "x${escape}" }`)), [/title must be text/], escape)
  }
  const zeros = parseCatalogue(file(
    'a: { id: 1, limits: { low: { critical: -0.0 } }, simulate: { between: [-0.0, 1], beyond: [-1, -0.0] } }'))
  t.ok(zeros.ok)
  if (!zeros.ok) return t.end()
  const again = parseCatalogue(JSON.stringify(catalogueJson(zeros.catalogue)))
  t.ok(again.ok && isSameCatalogue(again.catalogue, zeros.catalogue))
  t.match(faultsOf(file('a: { id: 1, simulate: { between: [0, 1e301] } }')), [/between must be two numbers, .*1e\+300/])
  for (const [type, pair, rule] of [
    ['float32', '[0, 1e39]', /numbers, .*3e\+38/], ['int', '[0.5, 2]', /whole numbers/],
    ['int', '[0, 1e17]', /9000000000/]
  ] as const) t.match(faultsOf(file(`a: { id: 1, type: ${type}, simulate: { between: ${pair} } }`)), [rule])
  t.end()
})

t.test('limits as large as numbers get still give a simulation that can be stored', (t) => {
  for (const type of ['float', 'float32', 'int']) {
    for (const limits of [
      'low: { critical: -1.7e308 }', 'high: { warning: 1.7e308 }',
      'low: { critical: 1e308 }, high: { critical: 1.7e308 }',
      'low: { critical: -1.7e308 }, high: { critical: 1.7e308 }', 'low: { critical: 1e16, warning: 10000000000000002 }',
      'low: { critical: 0.2 }, high: { critical: 0.8 }', 'low: { critical: -3.7 }, high: { warning: 4 }', ''
    ]) {
      const parsed = parseCatalogue(file(`a: { id: 1, type: ${type}, limits: { ${limits} } }`))
      t.ok(parsed.ok)
      if (!parsed.ok) continue
      const { between, beyond } = parsed.catalogue.telemetry.metrics[0]!.simulation as NumberSimulation
      const isOfType = type === 'int' ? Number.isSafeInteger : Number.isFinite
      t.ok([...between, ...beyond ?? []].every(isOfType), `${type} ${limits}`)
      const again = parseCatalogue(JSON.stringify(catalogueJson(parsed.catalogue)))
      t.ok(again.ok && isSameCatalogue(again.catalogue, parsed.catalogue), limits)
    }
  }
  t.end()
})

t.test('what is no catalogue at all', (t) => {
  t.match(faultsOf(''), [/1:1 {2}must be a mapping with catalogue, streams/])
  t.match(faultsOf('- 1'), [/must be a mapping/])
  t.match(faultsOf('catalogue: 2\nstreams: {}'), [/catalogue must be 1/, /streams must have the stream telemetry/])
  t.match(faultsOf('catalogue: 1\nstreams: { telemetry: { metrics: {} } }'), [/must have 1 to 250 metrics, not 0/])
  t.match(
    faultsOf('catalogue: 1\nstreams: { power: { metrics: {} }, telemetry: { metrics: { a: { id: 1 } } } }'),
    [/streams\.power\.metrics must have 1 to 250 metrics, not 0/])
  t.match(faultsOf('catalogue: [1\n'), [/is not valid YAML/])
  t.match(faultsOf('a: 1\na: 2'), [/2:1 .*has the key a twice/])
  t.match(faultsOf(`# ${'x'.repeat(FILE_BYTES_MAX)}`), [new RegExp(`has more than ${FILE_BYTES_MAX} bytes`)])
  const manyAliases = faultsOf(`catalogue: 1\nx: &x [${'1,'.repeat(1_000)}]\ny: [${'*x,'.repeat(1_000)}]\nstreams: {}`)
  t.equal(manyAliases.length, 100)
  const long = 'k'.repeat(100_000)
  const repeated = `${long}: 1\n${long}: 2`
  for (const text of [`${long}: 1`, repeated, `a: &${long} 1\nb: *${long}`, file(`? ${long}\n      : 1`)]) {
    t.ok(faultsOf(text).every(({ length }) => length < 300), 'a long key is not repeated in full')
  }
  t.match(manyAliases[1], /3:8 .*must have no YAML aliases: write what \*x stands for/)
  t.match(faultsOf(file('a: &a { id: 1 }', 'b: *a')), [/6:.*aliases/], 'once, at its place')
  t.match(faultsOf('['.repeat(20_000)), [/nested too deeply/])
  const manyKeys = Array.from({ length: 10_000 }, (_, index) => `k${index}: 1`).join('\n')
  t.equal(faultsOf(manyKeys).length, 100, 'which takes no time that grows with their square')
  t.equal(faultsOf(file(...Array.from({ length: 251 }, (_, index) => `m${index}: { id: ${index + 1} }`))).length, 1)
  t.end()
})

t.test('property: no text ends in an exception', (t) => {
  const anyText = fc.oneof(
    fc.string(), fc.string().map((text) => file(text)), fc.json(), fc.json().map((text) => file(`a: ${text}`)))
  fc.assert(fc.property(anyText, (text) => {
    const parsed = parseCatalogue(text)
    return parsed.ok || parsed.faults.length > 0
  }), { numRuns: 500 })
  t.end()
})
