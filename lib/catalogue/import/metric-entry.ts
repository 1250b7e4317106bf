/** An imported metric as the entry of a catalogue file: what does not fit there is left out, with a remark. */
import type { MetricLimits, Severity, SideLimits, StateLimits } from '../../../protocol/catalogue.js'
import { boundsOf, isInRange, type ValidRange } from '../../../protocol/valid-range.js'
import {
  STATES_MAX, STATE_MAX, STATE_MIN, ValueType, type MetricType, type State
} from '../../../protocol/value-types.js'
import { parseLimitSet } from '../../limits/validate.js'
import { DESCRIPTION_MAX, TITLE_MAX, UNIT_MAX } from '../metric-reader.js'
import { simulatedMax } from '../simulation.js'
import type { ImportedMetric, ImportedState } from './imported.js'
import { plainText, stateName, uniqueName } from './derived-names.js'
import type { PlacedMetric } from './placing.js'
import type { Remarks } from './remarks.js'

/** The keys of a metric in the file, in the order in which people read them; undefined ones are not written. */
export function entryOf ({ name, id, metric, aliases }: PlacedMetric, remarks: Remarks): object {
  const { type, states } = typeOf(metric, remarks)
  const limits = type === 'state'
    ? stateLimits(metric, states, remarks)
    : numberLimits(name, metric, new ValueType(type), remarks)
  const description = shortened(metric, metric.description, DESCRIPTION_MAX, 'description', remarks)
  const unit = shortened(metric, metric.unit, UNIT_MAX, 'unit', remarks)
  const title = shortened(metric, metric.title, TITLE_MAX, 'title', remarks)
  const isNumber = type !== 'state' && type !== 'bool'
  return {
    id,
    type: type === 'float' ? undefined : type,
    title: title === '' ? plainText(metric.name, TITLE_MAX) : title,
    unit: unit === '' ? undefined : unit,
    description: description === '' ? undefined : description,
    resolution: isNumber && metric.resolution !== null && metric.resolution > 0 && Number.isFinite(metric.resolution)
      ? metric.resolution
      : undefined,
    states: type === 'state' ? Object.fromEntries(states.map(({ name, value }) => [name, value])) : undefined,
    range: rangeOf(metric, new ValueType(type), limits ?? {}, remarks),
    limits,
    aliases: aliases.length === 0 ? undefined : aliases,
    retired: metric.retired ? true : undefined
  }
}

type NamedState = State & Pick<ImportedState, 'severity'>

/** A state whose numbers do not fit is an int. */
function typeOf (metric: ImportedMetric, remarks: Remarks): { type: MetricType, states: NamedState[] } {
  const { name: original, line, type, states: all } = metric
  if (type !== 'state') return { type, states: [] }
  const byValue = new Map<number, ImportedState>()
  for (const state of all) {
    if (byValue.has(state.value)) {
      remarks.leftOut(line, `state ${state.name} of ${original}`, 'another state has its number')
    } else byValue.set(state.value, state)
  }
  const isFit = [...byValue.keys()].every((value) => (
    Number.isInteger(value) && value >= STATE_MIN && value <= STATE_MAX))
  if (!isFit || byValue.size === 0 || byValue.size > STATES_MAX) {
    remarks.changed(line, original, 'it is an int without names for its values: ' +
      `a state has 1 to ${STATES_MAX} names for whole numbers from ${STATE_MIN} to ${STATE_MAX}`)
    return { type: 'int', states: [] }
  }
  const taken = new Set<string>()
  const states = [...byValue.values()].map(({ name, value, severity }) => {
    const unique = uniqueName(stateName(name, value), taken)
    taken.add(unique)
    if (unique !== name) {
      remarks.changed(line, `state ${name} → ${unique} of ${original}`,
        'names of states have letters, digits, _, . and -, begin with a letter, and are different')
    }
    return { name: unique, value: value + 0, severity }
  })
  return { type, states }
}

function stateLimits (
  { name: original, line, limits }: ImportedMetric, states: readonly NamedState[], remarks: Remarks
): MetricLimits | undefined {
  if (limits.low !== undefined || limits.high !== undefined) {
    remarks.leftOut(line, `limits of ${original}`, 'a state has no numeric limits')
  }
  const lists: { [S in Severity]?: string[] } = {}
  for (const { name, severity } of states) if (severity !== null) (lists[severity] ??= []).push(name)
  if (Object.keys(lists).length === 0) return undefined
  if (states.every(({ severity }) => severity !== null)) {
    remarks.leftOut(line, `limits of ${original}`, 'every state would be an anomaly')
    return undefined
  }
  return { states: lists satisfies StateLimits }
}

function numberLimits (
  name: string, metric: ImportedMetric, type: ValueType, remarks: Remarks
): MetricLimits | undefined {
  const { name: original, line, limits: { low, high } } = metric
  if (low === undefined && high === undefined) return undefined
  if (type.name === 'bool') {
    remarks.leftOut(line, `limits of ${original}`, 'a bool has no numeric limits')
    return undefined
  }
  const limits = {
    ...low === undefined ? {} : { low: withoutIdle(low, `low warning of ${original}`, line, remarks) },
    ...high === undefined ? {} : { high: withoutIdle(high, `high warning of ${original}`, line, remarks) }
  }
  const parsed = parseLimitSet({ default: { [name]: limits } }, { metrics: [name], types: [type] }, null)
  if (parsed.ok) return limits
  remarks.leftOut(line, `limits of ${original}`,
    'they contradict each other: low critical < low warning < high warning < high critical must hold')
  return undefined
}

/** Sources often repeat the critical limit as warning where they want none. */
function withoutIdle (side: SideLimits, what: string, line: number, remarks: Remarks): SideLimits {
  if (side.warning === undefined || side.warning !== side.critical) return side
  remarks.leftOut(line, what, 'it equals the critical limit, so it would never take effect')
  return { critical: side.critical }
}

/** One that a catalogue can have; what is outside it is flagged unless the source says otherwise. */
function rangeOf (
  { name, line, range }: ImportedMetric, type: ValueType, limits: MetricLimits, remarks: Remarks
): object | undefined {
  if (range === null) return undefined
  const reason = rangeFault(range, type, limits)
  if (reason !== null) {
    remarks.leftOut(line, `range of ${name}`, reason)
    return undefined
  }
  const { min, max, outside } = range
  return {
    ...min === null ? {} : { min },
    ...max === null ? {} : { max },
    ...outside === 'flag' ? {} : { outside: outside === 'null' ? null : outside }
  }
}

function rangeFault (range: ValidRange, type: ValueType, { low, high }: MetricLimits): string | null {
  if (type.name === 'bool' || type.name === 'state') return 'only numbers have a valid range'
  const isValue = (end: number | null): boolean => end === null || !Number.isNaN(type.accept(end))
  const { min, max } = boundsOf(range, type.name)
  const most = simulatedMax(type.name)
  if (!isValue(range.min) || !isValue(range.max) || min > max || min > most || max < -most) {
    return 'its ends must be values of the type, in order'
  }
  const levels = [low?.warning, low?.critical, high?.warning, high?.critical].filter((level) => level !== undefined)
  return levels.every((level) => isInRange(level, range, type.name)) ? null : 'limits of the metric are outside it'
}

function shortened (
  { name, line }: ImportedMetric, text: string, max: number, what: string, remarks: Remarks
): string {
  const short = plainText(text, max)
  if (short.length < plainText(text, 4 * max).length) {
    remarks.changed(line, `${what} of ${name}`, `it is cut off: at most ${max} characters fit`)
  }
  return short
}
