/**
 * Which stream of the catalogue each imported metric belongs to, and its name and id there.
 *
 * place() is the one function that decides it. Each stream of the source becomes one. Every catalogue has the stream
 * `telemetry`: it is the source's only one, or the one of that name, or the first.
 */
import { ID_MAX, STREAMS_MAX, STREAM_NAME_BYTES_MAX, TELEMETRY, TELEMETRY_ID } from '../../../protocol/catalogue.js'
import { METRICS_MAX, NAME_BYTES_MAX, isMetricName } from '../../../protocol/schema.js'
import { RESERVED_NAMES, isReservedStream } from '../name-rules.js'
import { ImportError, type ImportedMetric, type ImportedStream } from './imported.js'
import { metricName, streamName, uniqueName } from './derived-names.js'
import type { Remarks } from './remarks.js'

/** Streams listed in a message. */
const LISTED_MAX = 20

export interface PlacedMetric {
  readonly name: string
  readonly id: number
  readonly metric: ImportedMetric
  readonly aliases: readonly string[]
}

export interface PlacedStream {
  readonly id: number
  /** As the source has it. */
  readonly title: string
  readonly metrics: readonly PlacedMetric[]
}

/** By name. @throws {ImportError} they do not fit */
export function place (streams: readonly ImportedStream[], remarks: Remarks): ReadonlyMap<string, PlacedStream> {
  const filled = streams.filter(({ metrics }) => metrics.length > 0)
  if (filled.length === 0) throw new ImportError(null, 'has no metrics that a catalogue can hold')
  if (filled.length > STREAMS_MAX) {
    const listed = filled.slice(0, LISTED_MAX).map(({ name }) => name).join(', ')
    throw new ImportError(null,
      `has ${filled.length} streams with metrics; a catalogue can have at most ${STREAMS_MAX}. Choose among them ` +
      `with --stream, which may be repeated: ${listed}${filled.length > LISTED_MAX ? ' …' : ''}`)
  }
  const named = filled.findIndex(({ name }) => name.toLowerCase() === TELEMETRY)
  const telemetry = filled[Math.max(0, named)]
  const placed = new Map<string, PlacedStream>()
  let id = TELEMETRY_ID
  for (const stream of filled) {
    const metrics = placeMetrics(stream, remarks)
    const isTelemetry = stream === telemetry
    const name = isTelemetry ? TELEMETRY : freeName(stream.name, placed)
    const line = stream.metrics[0]?.line ?? 1
    if (isTelemetry && filled.length > 1 && named === -1) {
      remarks.changed(line, `stream ${stream.name} → ${name}`, 'every catalogue has this stream: it is the first one')
    } else if (filled.length > 1 && name.replaceAll('_', '') !== stream.name.toLowerCase().replace(/[^a-z0-9]/g, '')) {
      remarks.changed(line, `stream ${stream.name} → ${name}`,
        `names have at most ${STREAM_NAME_BYTES_MAX} lower-case ASCII letters, digits and _, and some are reserved`)
    }
    placed.set(name, { id: isTelemetry ? TELEMETRY_ID : ++id, title: stream.name, metrics })
  }
  return placed
}

function freeName (original: string, taken: ReadonlyMap<string, unknown>): string {
  const name = unreserved(streamName(original))
  let unique = name
  for (let number = 2; taken.has(unique); number++) {
    unique = unreserved(`${name.slice(0, STREAM_NAME_BYTES_MAX - 4)}_${number}`)
  }
  return unique
}

/** Some names are reserved as they are, others by how they begin or end, or by the word rollup. */
function unreserved (name: string): string {
  const begun = `s_${name.replaceAll('rollup', 'roll_up')}`.slice(0, STREAM_NAME_BYTES_MAX)
  const ended = (text: string): string => `${text.slice(0, STREAM_NAME_BYTES_MAX - 2)}_s`
  const isFree = (text: string): boolean => text !== TELEMETRY && !isReservedStream(text)
  return [name, ended(name), begun].find(isFree) ?? ended(begun)
}

function placeMetrics ({ name: stream, metrics: all }: ImportedStream, remarks: Remarks): PlacedMetric[] {
  const byOrigin = new Map<string, ImportedMetric>()
  for (const metric of all) if (!byOrigin.has(metric.origin)) byOrigin.set(metric.origin, metric)
  const metrics = [...byOrigin.values()]
  if (metrics.length > METRICS_MAX) {
    throw new ImportError(null, `has ${metrics.length} metrics in the stream ${stream}; a stream can have at most ` +
      `${METRICS_MAX}. Choose other streams with --stream, or divide this one in the source`)
  }
  const names = namesOf(metrics, remarks)
  const ids = idsOf(metrics, remarks)
  const taken = new Set(names)
  return metrics.map((metric, index) => ({
    name: names[index] as string,
    id: ids[index] as number,
    metric,
    aliases: metric.aliases.filter((alias) => isFree(alias, metric, taken, remarks))
  }))
}

function namesOf (metrics: readonly ImportedMetric[], remarks: Remarks): string[] {
  const used = new Set<string>()
  return metrics.map(({ name: original, line }) => {
    const plain = metricName(original)
    const name = uniqueName(plain, used)
    used.add(name)
    if (name !== plain) {
      remarks.changed(line, `${original} → ${name}`, 'another metric already has the name')
    } else if (name.replaceAll('_', '') !== original.toLowerCase().replace(/[^a-z0-9]/g, '')) {
      remarks.changed(line, `${original} → ${name}`,
        `names have at most ${NAME_BYTES_MAX} lower-case ASCII letters, digits and _, and some are reserved`)
    }
    return name
  })
}

/** Those of the source if all fit, which sheets that were written for this purpose have; otherwise 1, 2, 3 … */
function idsOf (metrics: readonly ImportedMetric[], remarks: Remarks): number[] {
  const given = metrics.flatMap(({ id }) => id ?? [])
  const isFit = given.every((id) => Number.isInteger(id) && id >= 1 && id <= ID_MAX) &&
    new Set(given).size === given.length && Math.max(0, ...given) + metrics.length - given.length <= ID_MAX
  if (!isFit) {
    const first = metrics.find(({ id }) => id !== null)
    remarks.changed(first?.line ?? 1, 'ids',
      `they are not distinct whole numbers from 1 to ${ID_MAX}, so metrics are numbered from 1`)
    return metrics.map((_, index) => index + 1)
  }
  let next = Math.max(0, ...given)
  return metrics.map(({ id }) => id ?? ++next)
}

function isFree (alias: string, { name, line }: ImportedMetric, taken: Set<string>, remarks: Remarks): boolean {
  const isValid = isMetricName(alias) && !RESERVED_NAMES.has(alias)
  if (isValid && !taken.has(alias)) {
    taken.add(alias)
    return true
  }
  remarks.leftOut(line, `alias ${alias} of ${name}`, isValid ? 'the name is taken already' : 'it is not a valid name')
  return false
}
