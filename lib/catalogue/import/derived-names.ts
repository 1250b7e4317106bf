/** Names of metrics and states, and texts, out of whatever a source has. */
import { NAME_BYTES_MAX } from '../../../protocol/schema.js'
import { STATE_NAME_BYTES_MAX } from '../../../protocol/value-types.js'
import { STREAM_NAME_BYTES_MAX } from '../../../protocol/catalogue.js'
import { RESERVED_NAMES } from '../name-rules.js'

/** Characters that mean something in names of telemetry, and are no ASCII letters. */
const SPELLED: ReadonlyArray<readonly [RegExp, string]> = [
  [/ä/g, 'ae'], [/ö/g, 'oe'], [/ü/g, 'ue'], [/Ä/g, 'Ae'], [/Ö/g, 'Oe'], [/Ü/g, 'Ue'], [/ß/g, 'ss'],
  [/[µμ]/g, 'u'], [/[ΩΩ]/g, 'ohm'], [/°/g, ' deg '], [/%/g, ' percent '],
  // The axes +X and -X; a hyphen between words is none.
  [/(^|[\s_(])\+(?=[A-Za-z])/g, '$1plus '], [/(^|[\s_(])-(?=[A-Za-z])/g, '$1minus ']
]

/** The words of a name, in lower case: `BatteryVoltage`, `BATTERY_VOLTAGE`, `Battery voltage` → battery, voltage. */
export function wordsOf (text: string): string[] {
  const spelled = SPELLED.reduce((each, [from, to]) => each.replace(from, to), text.slice(0, 256).normalize('NFC'))
  return spelled
    .normalize('NFKD').replace(/\p{M}/gu, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .replace(/([0-9])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
}

/** A valid name of a metric. */
export function metricName (text: string): string {
  const joined = wordsOf(text).join('_')
  if (joined === '') return 'metric'
  const name = cut(/^[a-z]/.test(joined) ? joined : `m_${joined}`, NAME_BYTES_MAX)
  return RESERVED_NAMES.has(name) ? `${name}_value` : name
}

/** A valid name of a stream, unless it is reserved. */
export function streamName (text: string): string {
  const joined = wordsOf(text).join('_')
  if (joined === '') return 'packet'
  return cut(/^[a-z]/.test(joined) ? joined : `s_${joined}`, STREAM_NAME_BYTES_MAX)
}

/** A valid name of a state: its letters keep their case. */
export function stateName (text: string, value: number): string {
  const name = text.slice(0, 256).normalize('NFKD').replace(/\p{M}/gu, '').replace(/[^A-Za-z0-9_.-]+/g, '_')
  const trimmed = name.replace(/^[_.-]+/, '').replace(/_+$/, '')
  if (trimmed === '') return `STATE_${value < 0 ? `MINUS_${-value}` : value}`
  return cut(/^[A-Za-z]/.test(trimmed) ? trimmed : `S_${trimmed}`, STATE_NAME_BYTES_MAX)
}

/** The name, or with a number behind it if it is taken. */
export function uniqueName (name: string, taken: { has (name: string): boolean }): string {
  let unique = name
  for (let number = 2; taken.has(unique); number++) unique = `${cut(name, NAME_BYTES_MAX - 4)}_${number}`
  return unique
}

/** Text on one line, of at most `max` UTF-16 code units, of which none is half a character. */
export function plainText (text: string, max: number): string {
  // Twice: the cut may go through a character.
  const isHalf = /\p{Cs}/gu
  const line = text.slice(0, 16 * max).replace(/[\s\p{Cc}]+/gu, ' ').replace(isHalf, '').trim()
  return line.slice(0, max).replace(isHalf, '').trim()
}

function cut (name: string, length: number): string {
  return name.slice(0, length).replace(/_+$/, '')
}
