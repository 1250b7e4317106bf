/**
 * What a new version of a catalogue may change. Tables and columns are there for good, so every version has the streams
 * and metrics of the one before, by id. Other changes are told apart from mistakes here, before anything is done to the
 * database.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Catalogue, Metric, Stream } from '../../protocol/catalogue.js'

export interface StreamMetric {
  readonly stream: Stream
  readonly metric: Metric
}

export interface StreamChange {
  readonly before: Stream
  readonly stream: Stream
  /** What is new: title, interval, retired; `storage` for any part of it. */
  readonly what: readonly string[]
}

export interface Evolution {
  /** What a new version must not do, each with the way to do it right; empty: it may come into force. */
  readonly faults: readonly string[]
  readonly addedStreams: readonly Stream[]
  readonly retiredStreams: readonly Stream[]
  /** Those of which something else is new. */
  readonly changedStreams: readonly StreamChange[]
  /** Also those of added streams. */
  readonly added: readonly StreamMetric[]
  readonly retired: readonly StreamMetric[]
  /** Those of which something else is new, with the names of what: unit, title … */
  readonly changed: ReadonlyArray<StreamMetric & { readonly what: readonly string[] }>
}

export const NO_CHANGE: Evolution = {
  faults: [], addedStreams: [], retiredStreams: [], changedStreams: [], added: [], retired: [], changed: []
}

/** Whether two catalogues say the same. */
export function isSameCatalogue (one: Catalogue, other: Catalogue): boolean {
  return isDeepStrictEqual(one.definitions, other.definitions)
}

/** What a catalogue adds where there is nothing yet. */
export function firstEvolution ({ streams }: Catalogue): Evolution {
  return { ...NO_CHANGE, addedStreams: streams, added: streams.flatMap(metricsOf) }
}

/**
 * Holds a proposed version against the one in force.
 * @param earlier all versions before that: a name that senders may still use never comes to mean another metric
 */
export function compareCatalogues (
  inForce: Catalogue, proposed: Catalogue, earlier: readonly Catalogue[] = []
): Evolution {
  const proposedById = new Map(proposed.streams.map((stream) => [stream.id, stream]))
  const knownIds = new Set(inForce.streams.map(({ id }) => id))
  const idMax = inForce.streams.at(-1)?.id ?? 0
  const addedStreams = proposed.streams.filter(({ id }) => !knownIds.has(id))
  const pairs = inForce.streams.flatMap((before) => {
    const stream = proposedById.get(before.id)
    return stream === undefined ? [] : [{ before, stream }]
  })
  const within = pairs.map(({ before, stream }) => compareStreams(before, stream, earlier.flatMap(({ streams }) =>
    streams.filter(({ id }) => id === stream.id))))
  const same = pairs.filter(({ before, stream }) => before.name === stream.name)
  return {
    faults: [
      ...inForce.streams.filter(({ id }) => !proposedById.has(id)).map(({ id, name }) =>
        `the stream ${name} (id ${id}) is missing: its points are stored, so keep it, ` +
        'with "retired: true" if nobody sends it any more'),
      ...pairs.filter(({ before, stream }) => before.name !== stream.name).map(({ before, stream }) =>
        `the stream with the id ${before.id} is ${before.name}, not ${stream.name}: streams keep their names; give ` +
        `${stream.name} a new id`),
      ...addedStreams.filter(({ id }) => id <= idMax).map(({ id, name }) =>
        `the stream ${name} (id ${id}) is new: its id must be above all that are in use, ${idMax + 1} or more`),
      ...within.flatMap(({ faults }) => faults)
    ],
    addedStreams,
    retiredStreams: same.filter(({ before, stream }) => stream.retired && !before.retired).map(({ stream }) => stream),
    changedStreams: same.flatMap(({ before, stream }) => {
      const what = [
        ...stream.title === before.title ? [] : ['title'],
        ...stream.intervalMs === before.intervalMs ? [] : ['interval'],
        ...isDeepStrictEqual(stream.storage, before.storage) ? [] : ['storage'],
        ...!stream.retired && before.retired ? ['retired'] : []
      ]
      return what.length === 0 ? [] : [{ before, stream, what }]
    }),
    added: [...within.flatMap(({ added }) => added), ...addedStreams.flatMap(metricsOf)],
    retired: within.flatMap(({ retired }) => retired),
    changed: within.flatMap(({ changed }) => changed)
  }
}

function metricsOf (stream: Stream): StreamMetric[] {
  return stream.metrics.map((metric) => ({ stream, metric }))
}

/** @param earlier the stream in all versions before */
function compareStreams (
  inForce: Stream, proposed: Stream, earlier: readonly Stream[]
): Pick<Evolution, 'faults' | 'added' | 'retired' | 'changed'> {
  const proposedById = new Map(proposed.metrics.map((metric) => [metric.id, metric]))
  const idMax = inForce.metrics.at(-1)?.id ?? 0
  const known = new Map(inForce.metrics.map((metric) => [metric.id, metric]))
  const added = proposed.metrics.filter(({ id }) => !known.has(id))
  const pairs = inForce.metrics.flatMap((before) => {
    const metric = proposedById.get(before.id)
    return metric === undefined ? [] : [{ before, metric }]
  })
  const named = (name: string): string => inForce.qualify(name)
  const inStream = (metric: Metric): StreamMetric => ({ stream: proposed, metric })
  return {
    faults: [
      ...inForce.metrics.filter(({ id }) => !proposedById.has(id)).map(({ id, name }) =>
        `${named(name)} (id ${id}) is missing: its points are stored, so keep it, ` +
        'with "retired: true" if nobody sends it any more'),
      ...pairs.filter(({ before, metric }) => before.name !== metric.name).map(({ before, metric }) =>
        `id ${before.id} is ${named(before.name)}, not ${metric.name}: keep the name, and list ${metric.name} under ` +
        `its aliases; or give ${metric.name} a new id`),
      ...pairs.filter(({ before, metric }) => before.type !== metric.type).map(({ before, metric }) =>
        `${named(before.name)} (id ${before.id}) is of the type ${before.type}, not ${metric.type}: types never ` +
        'change, because its points are stored; retire it, and add a metric with another name and id'),
      ...pairs.flatMap(({ before, metric }) =>
        before.type === metric.type ? stateFaults(before, metric, named(metric.name)) : []),
      ...added.filter(({ id }) => id <= idMax).map(({ id, name }) =>
        `${named(name)} (id ${id}) is new: its id must be above all that are in use, ${idMax + 1} or more`),
      ...movedNames([...earlier, inForce], proposed)
    ],
    added: added.map(inStream),
    retired: pairs.filter(({ before, metric }) => metric.retired && !before.retired)
      .map(({ metric }) => inStream(metric)),
    changed: pairs.flatMap(({ before, metric }) => {
      const what = Object.keys(metric).filter((key) => !isDeepStrictEqual(
        metric[key as keyof Metric], before[key as keyof Metric]))
      return what.length === 0 ? [] : [{ ...inStream(metric), what }]
    })
  }
}

/** States may be added; others would give stored numbers, or those of senders, another meaning. */
function stateFaults (before: Metric, metric: Metric, shown: string): string[] {
  return before.states
    .filter(({ name, value }) => !metric.states.some((state) => state.name === name && state.value === value))
    .map(({ name, value }) => `${shown} (id ${metric.id}) must keep its state ${name}, which is ${value}: ` +
      'states never change, because their numbers are stored; add others instead')
}

/** Names that were another metric's in some version. Those that clash with a name of `pairs` are told there. */
function movedNames (versions: readonly Stream[], proposed: Stream): string[] {
  const owners = new Map(versions.flatMap(({ metrics }) => metrics.flatMap((metric) =>
    [metric.name, ...metric.aliases].map((name) => [name, metric] as const))))
  return proposed.metrics.flatMap(({ id, name, aliases }) => [name, ...aliases].flatMap((each) => {
    const owner = owners.get(each)
    const isTold = owner?.name === each
    return owner === undefined || owner.id === id || isTold
      ? []
      : [`${each} was another name of ${owner.name} (id ${owner.id}), and senders may still use it for that: ` +
        `choose another name for id ${id}`]
  }))
}
