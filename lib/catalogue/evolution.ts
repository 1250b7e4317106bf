/**
 * What a new version of a catalogue may change. Columns are there for good, so every version has the metrics of the one
 * before, by id; all else is told apart from a mistake here, before anything is done to the database.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Catalogue, Metric } from '../../protocol/catalogue.js'

export interface Evolution {
  /** What a new version must not do, each with the way to do it right; empty: it may come into force. */
  readonly faults: readonly string[]
  readonly added: readonly Metric[]
  readonly retired: readonly Metric[]
  /** Those of which something else is new, with the names of what: unit, title … */
  readonly changed: ReadonlyArray<{ readonly metric: Metric, readonly what: readonly string[] }>
}

/** Whether two catalogues say the same. */
export function isSameCatalogue (one: Catalogue, other: Catalogue): boolean {
  return isDeepStrictEqual(one.metrics, other.metrics)
}

/**
 * Holds a proposed version against the one in force.
 * @param earlier all versions before that: a name that senders may still use never comes to mean another metric
 */
export function compareCatalogues (
  inForce: Catalogue, proposed: Catalogue, earlier: readonly Catalogue[] = []
): Evolution {
  const proposedById = new Map(proposed.metrics.map((metric) => [metric.id, metric]))
  const idMax = inForce.metrics.at(-1)?.id ?? 0
  const known = new Map(inForce.metrics.map((metric) => [metric.id, metric]))
  const added = proposed.metrics.filter(({ id }) => !known.has(id))
  const pairs = inForce.metrics.flatMap((before) => {
    const metric = proposedById.get(before.id)
    return metric === undefined ? [] : [{ before, metric }]
  })
  return {
    faults: [
      ...inForce.metrics.filter(({ id }) => !proposedById.has(id)).map(({ id, name }) =>
        `${name} (id ${id}) is missing: its points are stored, so keep it, ` +
        'with "retired: true" if nobody sends it any more'),
      ...pairs.filter(({ before, metric }) => before.name !== metric.name).map(({ before, metric }) =>
        `id ${before.id} is ${before.name}, not ${metric.name}: keep the name, and list ${metric.name} under its ` +
        `aliases; or give ${metric.name} a new id`),
      ...pairs.filter(({ before, metric }) => before.type !== metric.type).map(({ before, metric }) =>
        `${before.name} (id ${before.id}) is of the type ${before.type}, not ${metric.type}: types never change, ` +
        'because its points are stored; retire it, and add a metric with another name and id'),
      ...pairs.flatMap(({ before, metric }) => before.type === metric.type ? stateFaults(before, metric) : []),
      ...added.filter(({ id }) => id <= idMax).map(({ id, name }) =>
        `${name} (id ${id}) is new: its id must be above all that are in use, ${idMax + 1} or more`),
      ...movedNames([...earlier, inForce], proposed)
    ],
    added,
    retired: pairs.filter(({ before, metric }) => metric.retired && !before.retired).map(({ metric }) => metric),
    changed: pairs.flatMap(({ before, metric }) => {
      const what = Object.keys(metric).filter((key) => !isDeepStrictEqual(
        metric[key as keyof Metric], before[key as keyof Metric]))
      return what.length === 0 ? [] : [{ metric, what }]
    })
  }
}

/** States may be added; others would give stored numbers, or those of senders, another meaning. */
function stateFaults (before: Metric, metric: Metric): string[] {
  return before.states
    .filter(({ name, value }) => !metric.states.some((state) => state.name === name && state.value === value))
    .map(({ name, value }) => `${metric.name} (id ${metric.id}) must keep its state ${name}, which is ${value}: ` +
      'states never change, because their numbers are stored; add others instead')
}

/** Names that were another metric's in some version. Those that clash with a name of `pairs` are told there. */
function movedNames (versions: readonly Catalogue[], proposed: Catalogue): string[] {
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
