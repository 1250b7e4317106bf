/** YAML text as a value, and where in the text each part of it is. */
import { LineCounter, isMap, isScalar, isSeq, parseDocument, visit, type Document } from 'yaml'
import { ECHO_MAX } from '../../protocol/names.js'
import { nestsDeeper } from './yaml-depth.js'

/** Faults named of one file. */
export const FAULTS_MAX = 100
/** A catalogue has 8: the values of a limit on states. */
const DEPTH_MAX = 12

/** Keys and indexes from the whole down to a part. */
export type Path = ReadonlyArray<string | number>

export interface YamlFault {
  /** From 1. */
  readonly line: number
  readonly column: number
  readonly message: string
}

export type ParsedYaml =
  | { readonly ok: true, readonly document: YamlDocument }
  | { readonly ok: false, readonly faults: readonly YamlFault[] }

export function parseYaml (text: string): ParsedYaml {
  if (nestsDeeper(text, DEPTH_MAX)) {
    return { ok: false, faults: [{ line: 1, column: 1, message: 'is nested too deeply' }] }
  }
  const lines = new LineCounter()
  // The parser's own check for unique keys compares each with all others; its warnings, which Node.js prints, quote the
  // file.
  const document = parseDocument(text, {
    lineCounter: lines, uniqueKeys: false, prettyErrors: false, logLevel: 'error', version: '1.2', schema: 'core'
  })
  const syntax = document.errors.map(({ message, pos }) => (
    { ...place(lines, pos[0]), message: `is not valid YAML: ${message}` }))
  const faults = syntax.length > 0 ? syntax.slice(0, FAULTS_MAX) : faultsOfNodes(document, lines)
  return faults.length > 0 ? { ok: false, faults } : { ok: true, document: new YamlDocument(document, lines) }
}

export class YamlDocument {
  readonly value: unknown

  constructor (private readonly document: Document.Parsed, private readonly lines: LineCounter) {
    this.value = document.toJS() as unknown
  }

  /** Whether a key has nothing after it, which YAML takes for null. */
  isBlank (path: Path): boolean {
    const node = this.document.getIn(path, true)
    return isScalar(node) && node.source === ''
  }

  /** Of the key itself, or of what holds it where it is missing. */
  placeOf (path: Path): Omit<YamlFault, 'message'> {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? this.document.contents : this.document.getIn(path.slice(0, length - 1), true)
      const key = path[length - 1]
      if (isMap(parent)) {
        const pair = parent.items.find(({ key: each }) => (isScalar(each) ? String(each.value) : each) === String(key))
        if (isScalar(pair?.key) && pair.key.range != null) return place(this.lines, pair.key.range[0])
      }
      const item = isSeq(parent) ? parent.items[key as number] : undefined
      if (isScalar(item) && item.range != null) return place(this.lines, item.range[0])
    }
    return { line: 1, column: 1 }
  }
}

/** What YAML allows, but not here: keys that are repeated, and aliases, by which a small file could become large. */
function faultsOfNodes (document: Document.Parsed, lines: LineCounter): YamlFault[] {
  const faults: YamlFault[] = []
  const fault = (offset: number | undefined, message: string): symbol | undefined => {
    faults.push({ ...place(lines, offset ?? 0), message })
    return faults.length < FAULTS_MAX ? undefined : visit.BREAK
  }
  visit(document, {
    Alias: (_, { source, range }) => fault(
      range?.[0], `must have no YAML aliases: write what *${source.slice(0, ECHO_MAX)} stands for`),
    Map: (_, { items }) => {
      const keys = new Set<string>()
      for (const { key } of items) {
        const name = isScalar(key) ? String(key.value) : ''
        const isTold = keys.has(name) && isScalar(key)
        if (isTold && fault(key.range?.[0], `has the key ${name.slice(0, ECHO_MAX)} twice`) !== undefined) {
          return visit.BREAK
        }
        keys.add(name)
      }
      return undefined
    }
  })
  return faults
}

function place (lines: LineCounter, offset: number): Omit<YamlFault, 'message'> {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}
