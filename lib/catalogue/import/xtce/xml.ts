/**
 * XML as a tree, with the line of each element. Prefixes of namespaces are dropped.
 *
 * The parser, saxes, knows no entities but the five of XML and never opens another file; a DOCTYPE, which could
 * declare some, is refused. It keeps its own stack, and the tree is bounded in depth and size.
 */
import { SaxesParser } from 'saxes'
import { ImportError } from '../imported.js'

/** Of elements; XTCE needs about 15, and as many as its systems are nested. */
const DEPTH_MAX = 100
const ELEMENTS_MAX = 500_000
const ATTRIBUTES_MAX = 64
/** Of an attribute, in UTF-16 code units. */
const VALUE_MAX = 16 * 1024

export interface XmlElement {
  readonly name: string
  /** From 1. */
  readonly line: number
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  /** All text directly within it. */
  readonly text: string
}

type OpenElement = XmlElement & { readonly children: XmlElement[], text: string }

/** The root. @param elementsMax tests have fewer @throws {ImportError} */
export function parseXml (text: string, elementsMax = ELEMENTS_MAX): XmlElement {
  const parser = new SaxesParser<{ xmlns: false, position: false }>({ xmlns: false, position: false })
  const open: OpenElement[] = []
  const roots: XmlElement[] = []
  let line = 1
  let elements = 0
  let attributes = 0
  const fail = (message: string): never => { throw new ImportError(parser.line, message) }
  parser.on('error', ({ message }) => fail(`is not well-formed XML: ${message}`))
  parser.on('doctype', () => fail('has a DOCTYPE, which XTCE does not need: remove it'))
  parser.on('opentagstart', () => {
    line = parser.line
    attributes = 0
    if (++elements > elementsMax) fail(`has more than ${elementsMax} elements`)
    if (open.length === DEPTH_MAX) fail(`has elements that are nested more than ${DEPTH_MAX} deep`)
  })
  parser.on('attribute', ({ value }) => {
    if (++attributes > ATTRIBUTES_MAX) fail(`has an element with more than ${ATTRIBUTES_MAX} attributes`)
    if (value.length > VALUE_MAX) fail(`has an attribute of more than ${VALUE_MAX} characters`)
  })
  parser.on('opentag', ({ name, attributes }) => {
    const element: OpenElement = { name: localName(name), line, attributes, children: [], text: '' }
    const siblings = open.at(-1)?.children ?? roots
    siblings.push(element)
    open.push(element)
  })
  const addText = (part: string): void => {
    const element = open.at(-1)
    if (element !== undefined) element.text += part
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => { open.pop() })
  parser.write(text).close()
  return roots[0] ?? fail('has no element')
}

/** Children by name, made when first asked for: a hundred thousand parameters may refer to one large type. */
const indexes = new WeakMap<XmlElement, ReadonlyMap<string, readonly XmlElement[]>>()

export function childrenOf (element: XmlElement | undefined, name: string): readonly XmlElement[] {
  if (element === undefined) return []
  const index = indexes.get(element) ?? indexOf(element)
  indexes.set(element, index)
  return index.get(name) ?? []
}

/** The first child of the name, of which the first child of the next … */
export function childOf (element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((each, name) => childrenOf(each, name)[0], element)
}

function indexOf ({ children }: XmlElement): ReadonlyMap<string, readonly XmlElement[]> {
  const index = new Map<string, XmlElement[]>()
  for (const child of children) {
    const same = index.get(child.name)
    if (same === undefined) index.set(child.name, [child])
    else same.push(child)
  }
  return index
}

function localName (name: string): string {
  return name.slice(name.indexOf(':') + 1)
}
