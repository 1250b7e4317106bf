/**
 * What the columns of a sheet mean, by the words of their headings in any order: `Low Warning`, `warningLow`,
 * `WARN_LO` and `Yellow Low Limit` are one. A side without a severity is the critical limit, or the warning where
 * another column has the critical one of that side (low and low-low, hi and hihi).
 */
import type { LimitSide, Severity } from '../../../../protocol/catalogue.js'
import { ImportError } from '../imported.js'
import { wordsOf } from '../derived-names.js'
import type { Remarks } from '../remarks.js'

type LimitKey = `${LimitSide}.${Severity}`
export type ColumnKey = 'name' | 'stream' | 'type' | 'unit' | 'title' | 'description' | 'resolution' | 'id' | 'states' |
  'aliases' | 'retired' | 'minimum' | 'maximum' | 'outside' |
  LimitKey

/** Index of each column that is known. */
export type Columns = ReadonlyMap<ColumnKey, number>

/** Whole headings without spaces, in the order in which they are preferred if a sheet has several. */
const HEADINGS: Readonly<Partial<Record<ColumnKey, readonly string[]>>> = {
  name: [
    'name', 'metric', 'metricname', 'parameter', 'parametername', 'mnemonic', 'item', 'itemname', 'field', 'fieldname',
    'channel', 'channelname', 'variable', 'tag'
  ],
  stream: ['stream', 'packet', 'packetname', 'container', 'containername', 'subsystem'],
  type: ['type', 'datatype', 'valuetype'],
  unit: ['unit', 'units', 'uom', 'engineeringunit', 'engineeringunits', 'engunit', 'engunits', 'eu'],
  title: ['title', 'label', 'displayname', 'longname'],
  description: ['description', 'desc', 'comment', 'comments', 'remark', 'remarks', 'note', 'notes'],
  resolution: ['resolution', 'step', 'lsb'],
  id: ['id', 'metricid'],
  states: ['states', 'enum', 'enums', 'enumeration', 'enumerations', 'statevalues'],
  aliases: ['aliases', 'alias'],
  retired: ['retired', 'deprecated', 'obsolete'],
  minimum: ['min', 'minimum', 'minvalue', 'rangemin', 'rangelow', 'validmin', 'validlow'],
  maximum: ['max', 'maximum', 'maxvalue', 'rangemax', 'rangehigh', 'validmax', 'validhigh'],
  outside: ['outside', 'outsiderange', 'outofrange'],
  'low.critical': ['rl', 'lolo', 'll'],
  'low.warning': ['yl'],
  'high.warning': ['yh'],
  'high.critical': ['rh', 'hihi', 'hh']
}
const SIDES: Readonly<Record<LimitSide, ReadonlySet<string>>> = {
  low: new Set(['low', 'lower', 'lo']), high: new Set(['high', 'higher', 'upper', 'hi'])
}
const SEVERE: Readonly<Record<Severity, ReadonlySet<string>>> = {
  warning: new Set(['warning', 'warn', 'yellow', 'soft']),
  critical: new Set(['critical', 'crit', 'red', 'hard', 'alarm', 'error', 'danger'])
}
const FILLERS = new Set(['limit', 'limits', 'value', 'threshold', 'bound'])

/** @throws {ImportError} no column has names */
export function readColumns (headings: readonly string[], line: number, remarks: Remarks): Columns {
  const columns = new Map<ColumnKey, number>()
  const bare: Array<{ side: LimitSide, index: number }> = []
  const indexes = headings.map((_, index) => index).filter((index) => headings[index]?.trim() !== '')
  const keys = new Map(indexes.map((index) => [index, keyOf(headings[index] as string)]))
  const inOrder = indexes.toSorted((a, b) => (keys.get(a)?.rank ?? 0) - (keys.get(b)?.rank ?? 0))
  const leaveOut = (index: number, reason: string): void => {
    remarks.leftOut(line, `column ${headings[index] as string}`, reason)
  }
  const take = (key: ColumnKey, index: number): void => {
    if (columns.has(key)) leaveOut(index, 'another column has the same meaning')
    else columns.set(key, index)
  }
  for (const index of inOrder) {
    const found = keys.get(index) ?? null
    if (found === null) leaveOut(index, 'its heading is not known')
    else if (found.key === 'low' || found.key === 'high') bare.push({ side: found.key, index })
    else take(found.key, index)
  }
  for (const { side, index } of bare) {
    const isWarning = columns.has(`${side}.critical`) && !columns.has(`${side}.warning`)
    take(isWarning ? `${side}.warning` : `${side}.critical`, index)
  }
  if (!columns.has('name')) {
    throw new ImportError(
      line, 'must have a line of headings with a column "name" (or metric, parameter, mnemonic, item)')
  }
  return columns
}

interface Found {
  /** A side alone: of a severity that depends on the other columns. */
  readonly key: ColumnKey | LimitSide
  readonly rank: number
}

function keyOf (heading: string): Found | null {
  // Units are often in brackets: Low [V].
  const words = wordsOf(heading.replace(/\[[^\]]*\]|\([^)]*\)/g, ' '))
  const whole = words.join('')
  for (const [key, names] of Object.entries(HEADINGS) as Array<[ColumnKey, readonly string[]]>) {
    const rank = names.indexOf(whole)
    if (rank !== -1) return { key, rank }
  }
  const rest = words.filter((word) => !FILLERS.has(word))
  const side = (['low', 'high'] as const).find((each) => rest.some((word) => SIDES[each].has(word)))
  if (side === undefined) return null
  const others = rest.filter((word) => !SIDES[side].has(word))
  if (others.length === 0) {
    return { key: rest.length > 1 ? `${side}.critical` : side, rank: 0 }
  }
  const severity = (['warning', 'critical'] as const).find((each) => others.every((word) => SEVERE[each].has(word)))
  return severity === undefined ? null : { key: `${side}.${severity}`, rank: 0 }
}
