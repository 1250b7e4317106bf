/**
 * Lines of a COSMOS configuration file: a keyword and its parameters, which may be quoted. `&` at the end continues a
 * line, `\` and `+` continue a quoted text, # begins a comment. ERB (Ruby between <% and %>) is not run.
 *
 * Source: openc3.com/docs, "Configuration File Format"; openc3/config/config_parser.rb.
 */
import { ImportError } from '../imported.js'
import type { Remarks } from '../remarks.js'

const LINES_MAX = 1_000_000
/** Of a line with its continuations. */
const LINE_MAX = 16 * 1024
/** A text in quotes, or a word. */
const WORD = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S+/g

export interface CosmosLine {
  /** Where it begins, from 1. */
  readonly line: number
  /** In capitals. */
  readonly keyword: string
  readonly parameters: readonly string[]
}

/** @throws {ImportError} a line is too long, or there are too many */
export function * cosmosLines (text: string, remarks: Remarks): Generator<CosmosLine> {
  let begun = ''
  let start = 1
  let isText = false
  let erb = false
  let line = 0
  for (const each of linesOf(text)) {
    if (++line > LINES_MAX) throw new ImportError(line, `has more than ${LINES_MAX} lines`)
    if (begun.length + each.length > LINE_MAX) {
      throw new ImportError(line, `has a line of more than ${LINE_MAX} characters`)
    }
    const trimmed = each.trim()
    if (trimmed === '' || (trimmed.startsWith('#') && !erb && (begun === '' || isText))) continue
    if (erb || trimmed.includes('<%')) {
      if (!erb) remarks.leftOut(line, 'ERB', 'Ruby code is not run: import what COSMOS makes of the file')
      erb = trimmed.lastIndexOf('<%') > trimmed.lastIndexOf('%>') || (erb && !trimmed.includes('%>'))
      continue
    }
    if (begun === '') start = line
    const part: string = isText ? trimmed.slice(1) : trimmed
    isText = /[+\\]$/.test(part) && /["']\s*[+\\]$/.test(part)
    if (isText) begun += part.replace(/["']\s*[+\\]$/, part.endsWith('+') ? ' ' : '')
    else if (part.endsWith('&')) begun += part.slice(0, -1)
    else {
      yield lineOf(start, begun + part)
      begun = ''
    }
  }
  if (begun !== '') yield lineOf(start, begun)
}

/** One at a time: a file may have as many lines as bytes. */
function * linesOf (text: string): Generator<string> {
  const end = /\r\n|\r|\n/g
  let from = 0
  for (let found = end.exec(text); found !== null; found = end.exec(text)) {
    yield text.slice(from, found.index)
    from = end.lastIndex
  }
  yield text.slice(from)
}

function lineOf (line: number, text: string): CosmosLine {
  const words = text.match(WORD) ?? []
  const comment = words.findIndex((word, index) => index > 0 && word.startsWith('#') && !word.startsWith('#{'))
  const [keyword = '', ...parameters] = comment === -1 ? words : words.slice(0, comment)
  return { line, keyword: keyword.toUpperCase(), parameters: parameters.map(unquoted) }
}

function unquoted (word: string): string {
  const isQuoted = word.length > 1 && /^["']/.test(word) && word.endsWith(word.charAt(0))
  return isQuoted ? word.slice(1, -1).replace(/\\(.)/g, '$1') : word
}
