/** A sheet, one metric per row: csv-rows.ts reads it, csv-columns.ts knows its headings, this file its cells. */
import { OUTSIDES, type ValidRange } from '../../../../protocol/valid-range.js'
import { METRIC_TYPES, type MetricType } from '../../../../protocol/value-types.js'
import { readColumns, type ColumnKey } from './csv-columns.js'
import { parseCsv, type CsvRow } from './csv-rows.js'
import {
  ImportError, type ImportedLimits, type ImportedMetric, type ImportedState, type ImportedStream
} from '../imported.js'
import { numberOf } from '../numbers.js'
import type { Remarks } from '../remarks.js'
import type { StreamFilter } from '../stream-filter.js'

/** Of rows without a value in the column `stream`. */
const NO_STREAM = 'telemetry'
const TYPE_NAMES: Readonly<Record<MetricType, readonly string[]>> = {
  float: ['float64', 'double', 'real', 'number', 'numeric', 'decimal', 'analog', 'analogue', 'f64'],
  float32: ['single', 'f32'],
  int: ['integer', 'uint', 'unsigned', 'long', 'short', 'byte', 'counter'],
  bool: ['boolean', 'flag', 'bit'],
  state: ['states', 'enum', 'enumerated', 'enumeration', 'discrete', 'status']
}
const SIZED_INT = /^(u?int|[iu])(8|16|24|32|64)(_t)?$/
const TEXT_TYPES = new Set([
  'string', 'text', 'char', 'varchar', 'bytes', 'binary', 'blob', 'time', 'timestamp', 'date', 'datetime'
])
/** Cells that say there is nothing, as people write them: nA is the unit nanoampere. */
const EMPTY = new Set(['', '-', '–', 'n/a', 'N/A', 'NA', 'none', 'None', 'null', 'NULL'])
const YES = new Set(['true', 'yes', 'y', 'x', '1'])
const NO = new Set(['false', 'no', 'n', '0'])

/** @throws {ImportError} */
export function readCsv (text: string, remarks: Remarks, filter: StreamFilter): ImportedStream[] {
  const { delimiter, rows: [head, ...rows] } = parseCsv(text)
  if (head === undefined) throw new ImportError(null, 'is empty')
  const columns = readColumns(head.cells, head.line, remarks)
  const byStream = new Map<string, Map<string, ImportedMetric>>()
  for (const row of rows) {
    const cell = (key: ColumnKey): string => {
      const text = row.cells[columns.get(key) ?? -1]?.trim() ?? ''
      // There "null" is a choice.
      return EMPTY.has(text) && !(key === 'outside' && text.toLowerCase() === 'null') ? '' : text
    }
    const stream = cell('stream') === '' ? NO_STREAM : cell('stream')
    if (!filter.wants(stream)) continue
    const metric = new RowReader(row, cell, delimiter !== ',', remarks).read()
    if (metric === null) continue
    const metrics = byStream.get(stream) ?? new Map<string, ImportedMetric>()
    byStream.set(stream, metrics)
    if (metrics.has(metric.name)) remarks.leftOut(row.line, metric.name, 'an earlier row has the same name')
    else metrics.set(metric.name, { ...metric, origin: JSON.stringify([stream, metric.name]) })
  }
  return [...byStream].map(([name, metrics]) => ({ name, metrics: [...metrics.values()] }))
}

class RowReader {
  private readonly name: string

  constructor (
    private readonly row: CsvRow,
    private readonly cell: (key: ColumnKey) => string,
    /** Whether a comma may be a decimal comma. */
    private readonly hasCommas: boolean,
    private readonly remarks: Remarks
  ) {
    this.name = cell('name')
  }

  read (): ImportedMetric | null {
    const { name, row: { line } } = this
    if (name === '') {
      this.remarks.leftOut(line, 'a row', 'it has no name')
      return null
    }
    const states = this.states()
    const type = this.type(states.length > 0)
    if (type === null) return null
    if (type !== 'state' && states.length > 0) this.leftOut('states', `they are for the type state, not ${type}`)
    return {
      name,
      origin: name,
      line,
      type,
      states: type === 'state' ? states : [],
      title: this.cell('title'),
      unit: this.cell('unit'),
      description: this.cell('description'),
      resolution: this.resolution(),
      limits: this.limits(),
      range: this.range(),
      id: this.number('id'),
      aliases: this.cell('aliases').split(/[\s,;|]+/).filter((alias) => alias !== ''),
      retired: this.retired()
    }
  }

  /** Null: there is no such type. */
  private type (hasStates: boolean): MetricType | null {
    const text = this.cell('type').toLowerCase()
    if (text === '') return hasStates ? 'state' : 'float'
    if (SIZED_INT.test(text)) return 'int'
    const type = METRIC_TYPES.find((each) => each === text || TYPE_NAMES[each].includes(text))
    if (type !== undefined) return type
    this.leftOut(null, TEXT_TYPES.has(text)
      ? 'a catalogue has no texts or times'
      : `its type is not known; use ${METRIC_TYPES.join(', ')} or their usual names`)
    return null
  }

  /** `OFF=0; ON=1`, `0:OFF|1:ON`. */
  private states (): ImportedState[] {
    const text = this.cell('states')
    if (text === '') return []
    const states = text.split(/[;|,\n]/).filter((part) => part.trim() !== '').map((part): ImportedState | null => {
      const [, left = '', right = ''] = /^([^=:]+)[=:](.+)$/s.exec(part.trim()) ?? []
      const [name, value] = numberOf(right) !== null ? [left, numberOf(right)] : [right, numberOf(left)]
      return value === null ? null : { name: name.trim(), value, severity: null }
    })
    if (states.every((state) => state !== null)) return states
    this.leftOut('states', 'they must be names with their numbers, such as OFF=0; ON=1')
    return []
  }

  private limits (): ImportedLimits {
    const side = (which: 'low' | 'high'): ImportedLimits => {
      const [warning, critical] = [this.number(`${which}.warning`), this.number(`${which}.critical`)]
      if (warning === null && critical === null) return {}
      return { [which]: { ...warning === null ? {} : { warning }, ...critical === null ? {} : { critical } } }
    }
    return { ...side('low'), ...side('high') }
  }

  private range (): ValidRange | null {
    const [min, max] = [this.number('minimum'), this.number('maximum')]
    const text = this.cell('outside').toLowerCase()
    const outside = OUTSIDES.find((known) => known === text)
    if (text !== '' && outside === undefined) this.leftOut('outside', `it must be one of ${OUTSIDES.join(', ')}`)
    return min === null && max === null ? null : { min, max, outside: outside ?? 'flag' }
  }

  private resolution (): number | null {
    const step = this.number('resolution')
    if (step === null || step > 0) return step
    this.leftOut('resolution', 'it must be above 0')
    return null
  }

  private number (key: ColumnKey): number | null {
    const text = this.cell(key)
    if (text === '') return null
    if (this.hasCommas && /^[+-]?[1-9]\d{0,2},\d{3}$/.test(text)) {
      this.leftOut(key, 'its comma may separate thousands or decimals: write it without')
      return null
    }
    const value = numberOf(this.hasCommas ? text.replace(/^([+-]?\d*),(\d+)$/, '$1.$2') : text)
    if (value === null) this.leftOut(key, 'it must be a finite number, without a unit')
    return value
  }

  private retired (): boolean {
    const text = this.cell('retired').toLowerCase()
    if (text !== '' && !YES.has(text) && !NO.has(text)) this.leftOut('retired', 'it must be yes or no')
    return YES.has(text)
  }

  /** @param what null: the whole row */
  private leftOut (what: string | null, reason: string): void {
    this.remarks.leftOut(this.row.line, what === null ? this.name : `${what} of ${this.name}`, reason)
  }
}
