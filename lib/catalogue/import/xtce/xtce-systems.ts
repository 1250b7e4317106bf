/**
 * The systems of an XTCE database: a tree of spaces of names, each with types, parameters and containers.
 *
 * A reference is a path, `/Satellite/Power/Voltage` or relative; one that is not found in its system is looked for in
 * the systems around it, up to the root (XTCE 1.2, "NameReferenceType").
 */
import { ImportError } from '../imported.js'
import type { Remarks } from '../remarks.js'
import { childOf, type XmlElement } from './xml.js'

/** Of all systems together; a catalogue has at most 250. */
const PARAMETERS_MAX = 100_000
const CONTAINERS_MAX = 10_000

type Kind = 'types' | 'parameters' | 'containers'

export interface XtceSystem {
  readonly name: string
  readonly parent: XtceSystem | null
  readonly children: Map<string, XtceSystem>
  readonly types: Map<string, XmlElement>
  readonly parameters: Map<string, XmlElement>
  readonly containers: Map<string, XmlElement>
}

/** What a reference means, and where it is: its own references start there. */
export interface Found {
  readonly element: XmlElement
  readonly system: XtceSystem
  /** The same for every reference to it. */
  readonly path: string
}

/** All systems, the root first. @throws {ImportError} there is no system, or there is too much in them */
export function readSystems (root: XmlElement, remarks: Remarks): XtceSystem[] {
  if (root.name !== 'SpaceSystem') {
    throw new ImportError(root.line, `must begin with SpaceSystem, not ${root.name.slice(0, 64)}`)
  }
  const systems: XtceSystem[] = []
  const read = (element: XmlElement, parent: XtceSystem | null): void => {
    const system = systemOf(element, parent, remarks)
    systems.push(system)
    for (const child of element.children) {
      if (child.name === 'SpaceSystem') read(child, system)
      else if (child.name === 'include') {
        remarks.leftOut(child.line, child.attributes['href'] ?? 'include', 'other files are not read')
      }
    }
    parent?.children.set(system.name, system)
  }
  read(root, null)
  const count = (kind: Kind): number => systems.reduce((sum, system) => sum + system[kind].size, 0)
  if (count('parameters') > PARAMETERS_MAX) throw new ImportError(null, `has more than ${PARAMETERS_MAX} parameters`)
  if (count('containers') > CONTAINERS_MAX) throw new ImportError(null, `has more than ${CONTAINERS_MAX} containers`)
  return systems
}

function systemOf (element: XmlElement, parent: XtceSystem | null, remarks: Remarks): XtceSystem {
  const named = (set: string): Map<string, XmlElement> => {
    const elements = childOf(element, 'TelemetryMetaData', set)?.children ?? []
    const map = new Map<string, XmlElement>()
    for (const each of elements) {
      const name = each.attributes['name']
      // ParameterRef in a ParameterSet only repeats a parameter of another system.
      if (name === undefined) continue
      if (map.has(name)) remarks.leftOut(each.line, name, 'its system has another one with the same name')
      else map.set(name, each)
    }
    return map
  }
  return {
    name: element.attributes['name'] ?? '',
    parent,
    children: new Map(),
    types: named('ParameterTypeSet'),
    parameters: named('ParameterSet'),
    containers: named('ContainerSet')
  }
}

/** What a system itself has. */
export function allOf (kind: Kind, system: XtceSystem): Found[] {
  return [...system[kind]].map(([name, element]) => ({ element, system, path: pathOf(system, name) }))
}

/** Null: the reference leads nowhere. */
export function find (kind: Kind, reference: string, from: XtceSystem): Found | null {
  const path = reference.split('/')
  const name = path.pop() ?? ''
  if (path[0] === '') {
    const root = rootOf(from)
    return path.length > 1 && path[1] === root.name ? lookUp(kind, name, systemAt(path.slice(2), root)) : null
  }
  for (let system: XtceSystem | null = from; system !== null; system = system.parent) {
    const found = lookUp(kind, name, systemAt(path, system))
    if (found !== null) return found
  }
  return null
}

function rootOf (system: XtceSystem): XtceSystem {
  return system.parent === null ? system : rootOf(system.parent)
}

function systemAt (path: readonly string[], from: XtceSystem): XtceSystem | null {
  let system: XtceSystem = from
  for (const step of path) {
    if (step === '.') continue
    const next = step === '..' ? system.parent : system.children.get(step)
    if (next == null) return null
    system = next
  }
  return system
}

function lookUp (kind: Kind, name: string, system: XtceSystem | null): Found | null {
  const element = system?.[kind].get(name)
  return element === undefined || system === null ? null : { element, system, path: pathOf(system, name) }
}

function pathOf (system: XtceSystem, name: string): string {
  const above = system.parent === null ? '' : pathOf(system.parent, '').slice(0, -1)
  return `${above}/${system.name}/${name}`
}
