/**
 * An XTCE 1.2 database (OMG, formal/2018-10-01): parameters with their types, and the containers that they arrive in.
 *
 * A container that is not abstract is a stream: its parameters, those of the containers that it is based on, and those
 * of containers that it includes, which are not streams themselves. In a database without containers, each
 * system is a stream.
 */
import { ImportError, type ImportedMetric, type ImportedStream } from '../imported.js'
import type { Remarks } from '../remarks.js'
import type { StreamFilter } from '../stream-filter.js'
import { allOf, find, readSystems, type Found, type XtceSystem } from './xtce-systems.js'
import { metricsOf } from './xtce-types.js'
import { childOf, parseXml, type XmlElement } from './xml.js'

/** Containers, entries and parameters of all streams together, each counted in every stream that has it. */
const STEPS_MAX = 500_000

/** @throws {ImportError} */
export function readXtce (text: string, remarks: Remarks, filter: StreamFilter): ImportedStream[] {
  const root = parseXml(text)
  const systems = readSystems(root, remarks)
  if (!/xtce/i.test(namespaceOf(root))) {
    remarks.changed(root.line, root.name, 'its namespace is not that of XTCE, and it was read as XTCE 1.2')
  }
  return new XtceReader(systems, remarks, filter).streams()
}

function namespaceOf ({ attributes }: XmlElement): string {
  return Object.entries(attributes).filter(([name]) => /^xmlns(:|$)/.test(name)).map(([, uri]) => uri).join(' ')
}

class XtceReader {
  /** By path of the parameter: read once, however many containers have it. */
  private readonly metrics = new Map<string, ImportedMetric[]>()
  private steps = 0

  constructor (
    private readonly systems: readonly XtceSystem[],
    private readonly remarks: Remarks,
    private readonly filter: StreamFilter
  ) {}

  streams (): ImportedStream[] {
    const containers = this.systems.flatMap((system) => allOf('containers', system))
    if (containers.length === 0) return this.streamsOfSystems()
    const included = new Set(containers.flatMap((each) => this.includedBy(each)))
    const packets = containers.filter(
      ({ element, path }) => element.attributes['abstract'] !== 'true' && !included.has(path))
    const streams = withUniqueNames(packets.map((container) => ({ name: nameOf(container), container })))
      .filter(({ name }) => this.filter.wants(name))
      .map(({ name, container }) => ({ name, metrics: this.metricsIn(container) }))
    if (streams.length === packets.length) this.leaveOutStrays(containers)
    return streams
  }

  private streamsOfSystems (): ImportedStream[] {
    return withUniqueNames(this.systems.map((system) => ({ name: system.name, system })))
      .filter(({ name, system }) => system.parameters.size > 0 && this.filter.wants(name))
      .map(({ name, system }) => ({
        name,
        metrics: allOf('parameters', system).flatMap((each) => this.metricsOf(each))
      }))
  }

  /** Paths of the containers among the entries of one. */
  private includedBy ({ element, system }: Found): string[] {
    return entriesOf(element).flatMap(({ name, attributes: { containerRef = '' } }) => (
      name === 'ContainerRefEntry' ? find('containers', containerRef, system)?.path ?? [] : []))
  }

  /** Each container counts once, so that they may refer to one another in circles. */
  private metricsIn (container: Found): ImportedMetric[] {
    const seen = new Set<string>()
    const metrics = new Map<string, ImportedMetric>()
    const waiting: Found[] = [container]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next.path)) continue
      seen.add(next.path)
      this.count(next.element.line)
      const base = childOf(next.element, 'BaseContainer')
      if (base !== undefined) this.follow(base, next, waiting)
      for (const entry of entriesOf(next.element)) {
        this.count(entry.line)
        if (entry.name === 'ContainerRefEntry') this.follow(entry, next, waiting)
        else for (const metric of this.metricsAt(entry, next)) metrics.set(metric.origin, metric)
      }
    }
    return [...metrics.values()].sort((a, b) => a.line - b.line)
  }

  /** Few entries can mean many: of members, of containers within containers. */
  private count (line: number): void {
    if (++this.steps > STEPS_MAX) throw new ImportError(line, `has more than ${STEPS_MAX} parameters in its containers`)
  }

  private follow ({ line, attributes: { containerRef = '' } }: XmlElement, { system }: Found, waiting: Found[]): void {
    const found = find('containers', containerRef, system)
    if (found !== null) waiting.push(found)
    else this.remarks.leftOut(line, containerRef, 'the container is not in the file')
  }

  private metricsAt (entry: XmlElement, { system }: Found): ImportedMetric[] {
    const { name, line, attributes: { parameterRef = '' } } = entry
    if (name !== 'ParameterRefEntry') {
      this.remarks.leftOut(
        line, parameterRef === '' ? name : parameterRef, 'entries of this kind have no place in a catalogue')
      return []
    }
    const found = find('parameters', parameterRef, system)
    if (found === null) {
      this.remarks.leftOut(line, parameterRef, 'the parameter is not in the file')
      return []
    }
    if (childOf(entry, 'RepeatEntry') !== undefined) {
      this.remarks.changed(line, parameterRef, 'it repeats in its container, and is one metric here')
    }
    return this.metricsOf(found)
  }

  private metricsOf (parameter: Found): ImportedMetric[] {
    const count = (line: number): void => { this.count(line) }
    const known = this.metrics.get(parameter.path)
    known?.forEach(({ line }) => { count(line) })
    const metrics = known ?? metricsOf(parameter, this.remarks, count)
    this.metrics.set(parameter.path, metrics)
    return metrics
  }

  /** Parameters that no stream has: derived ones, or those of abstract containers without heirs. */
  private leaveOutStrays (containers: readonly Found[]): void {
    const referred = new Set(containers.flatMap(({ element, system }) => entriesOf(element).flatMap(
      ({ attributes: { parameterRef = '' } }) => find('parameters', parameterRef, system)?.path ?? [])))
    for (const parameter of this.systems.flatMap((system) => allOf('parameters', system))) {
      if (this.metrics.has(parameter.path)) continue
      this.remarks.leftOut(parameter.element.line, nameOf(parameter), referred.has(parameter.path)
        ? 'only abstract containers, or none that is a stream, have it'
        : 'no container has it')
    }
  }
}

function entriesOf (container: XmlElement): readonly XmlElement[] {
  return childOf(container, 'EntryList')?.children ?? []
}

function nameOf ({ element }: Found): string {
  return element.attributes['name'] ?? ''
}

/** Containers of different systems may have one name. */
function withUniqueNames<T extends { readonly name: string }> (streams: readonly T[]): T[] {
  const counts = new Map<string, number>()
  return streams.map((stream) => {
    const count = (counts.get(stream.name) ?? 0) + 1
    counts.set(stream.name, count)
    return count === 1 ? stream : { ...stream, name: `${stream.name} ${count}` }
  })
}
