import t from 'tap'
import type { Catalogue, Metric } from '../../../protocol/catalogue.js'
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { NO_CHANGE, compareCatalogues, isSameCatalogue, type StreamMetric } from '../../../lib/catalogue/evolution.js'
import { catalogueOf as catalogue } from '../../support/points/catalogues.js'

const names = (metrics: readonly Metric[]): string[] => metrics.map(({ name }) => name)
const named = (metrics: readonly StreamMetric[]): string[] => names(metrics.map(({ metric }) => metric))

t.test('adding, retiring and describing are changes', (t) => {
  const before = catalogue('a: { id: 1, unit: V }', 'b: { id: 3 }')
  const after = catalogue(
    'c: { id: 4 }', 'b: { id: 3, retired: true }', 'a: { id: 1, unit: mV, title: Volts, aliases: [volts] }')
  const evolution = compareCatalogues(before, after)
  t.strictSame(evolution.faults, [])
  t.strictSame(named(evolution.added), ['c'])
  t.strictSame(named(evolution.retired), ['b'])
  t.strictSame(
    evolution.changed.map(({ metric, what }) => [metric.name, what]),
    [['a', ['aliases', 'title', 'unit']], ['b', ['retired']]])
  t.strictSame(names(after.telemetry.metrics), ['a', 'b', 'c'], 'by id, whatever the order in the file')
  t.strictSame(names(after.telemetry.live), ['a', 'c'])
  t.end()
})

t.test('what would lose or reinterpret points is refused, with the way to do it right', (t) => {
  const before = catalogue('a: { id: 2 }', 'b: { id: 5 }')
  t.match(compareCatalogues(before, catalogue('a: { id: 2 }')).faults, [/^b \(id 5\) is missing: .*"retired: true"/])
  t.match(
    compareCatalogues(before, catalogue('a: { id: 5 }', 'b: { id: 2 }')).faults,
    [/^id 2 is a, not b: .*aliases/, /^id 5 is b, not a/])
  t.match(
    compareCatalogues(before, catalogue('a: { id: 2 }', 'b: { id: 5 }', 'c: { id: 3 }')).faults,
    [/^c \(id 3\) is new: its id must be .* 6 or more/])
  t.match(compareCatalogues(before, catalogue('z: { id: 2 }')).faults, [/b .* is missing/, /id 2 is a, not z/])
  t.end()
})

t.test('types and states never change; states may be added', (t) => {
  const before = catalogue('a: { id: 1 }', 'b: { id: 2, type: state, states: { OFF: 0, ON: 1 } }')
  const fits = catalogue('a: { id: 1, type: float }', 'b: { id: 2, type: state, states: { ON: 1, LOST: -1, OFF: 0 } }')
  const ranged = catalogue('a: { id: 1, range: { min: 0 } }')
  for (const other of ['a: { id: 1, range: { min: 0, outside: refuse } }', 'a: { id: 1 }']) {
    const change = compareCatalogues(ranged, catalogue(other))
    t.strictSame(change.faults, [])
    t.ok(change.changed[0]?.what.includes('range'), 'may change at any time')
  }
  t.match(compareCatalogues(before, fits), { faults: [], changed: [{ metric: { name: 'b' }, what: ['states'] }] })
  t.match(
    compareCatalogues(before, catalogue('a: { id: 1, type: int }', 'b: { id: 2, type: bool }')).faults,
    [/^a \(id 1\) is of the type float, not int: types never change/, /^b \(id 2\) is of the type state, not bool/])
  t.match(
    compareCatalogues(
      before, catalogue('a: { id: 1 }', 'b: { id: 2, type: state, states: { OFF: 0, RUN: 1 } }')).faults,
    [/^b \(id 2\) must keep its state ON, which is 1: states never change/])
  t.end()
})

t.test('the same catalogue is the same, in any order', (t) => {
  const one = catalogue('a: { id: 1 }', 'b: { id: 2 }')
  const other = catalogue('b: { id: 2 }', 'a: { id: 1 }')
  t.ok(isSameCatalogue(one, other))
  t.strictSame(compareCatalogues(one, other), NO_CHANGE)
  t.notOk(isSameCatalogue(one, catalogue('a: { id: 1 }', 'b: { id: 2, unit: V }')))
  t.end()
})

t.test('a name that senders may still use never comes to mean another metric', (t) => {
  const first = catalogue('a: { id: 1, aliases: [x] }', 'b: { id: 2 }')
  const inForce = catalogue('a: { id: 1 }', 'b: { id: 2 }')
  const moved = [
    catalogue('a: { id: 1 }', 'b: { id: 2, aliases: [x] }'), catalogue('a: { id: 1 }', 'b: { id: 2 }', 'x: { id: 3 }')
  ]
  for (const proposed of moved) {
    t.match(compareCatalogues(first, proposed).faults, [/^x was another name of a \(id 1\)/])
    t.match(compareCatalogues(inForce, proposed, [first]).faults, [/^x was another name of a \(id 1\)/])
  }
  t.strictSame(compareCatalogues(inForce, first, [first]).faults, [], 'its own metric may have it again')
  t.end()
})

t.test('streams may be added and retired; their ids, names and metrics stay', (t) => {
  const of = (...streams: string[]): Catalogue => {
    const parsed = parseCatalogue(
      `{ catalogue: 1, streams: { telemetry: { metrics: { a: { id: 1 } } }, ${streams.join(', ')} } }`)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    return parsed.catalogue
  }
  const before = of('power: { id: 5, metrics: { a: { id: 1 } } }')
  const after = of('power: { id: 5, retired: true, metrics: { a: { id: 1 }, b: { id: 2 } } }',
    'radio: { id: 6, metrics: { a: { id: 1 } } }')
  const evolution = compareCatalogues(before, after)
  t.strictSame(evolution.faults, [])
  t.strictSame(evolution.addedStreams.map(({ name }) => name), ['radio'])
  t.strictSame(evolution.retiredStreams.map(({ name }) => name), ['power'])
  t.strictSame(evolution.added.map(({ stream, metric }) => stream.qualify(metric.name)), ['power.b', 'radio.a'])
  const kept = of('power: { id: 5, title: P, retention: 7d, metrics: { a: { id: 1 } } }')
  t.match(compareCatalogues(before, kept), {
    faults: [], changedStreams: [{ stream: { name: 'power' }, what: ['title', 'storage'] }]
  })
  t.match(compareCatalogues(before, of()).faults, [/the stream power \(id 5\) is missing/])
  t.match(
    compareCatalogues(before, of('radio: { id: 5, metrics: { a: { id: 1 } } }')).faults,
    [/the stream with the id 5 is power, not radio/])
  t.match(
    compareCatalogues(before, of(
      'power: { id: 5, metrics: { a: { id: 1, type: int } } }', 'radio: { id: 2, metrics: { a: { id: 1 } } }')).faults,
    [/radio \(id 2\) is new: .* 6 or more/, /power\.a \(id 1\) is of the type float/])
  t.end()
})
