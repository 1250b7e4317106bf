/** Numbers, sizes, times and ages as people read them. Times are in UTC, as everywhere in the database. */

const NUMBER_SPACE = '\u202f'
const NO_VALUE = '–'
const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const MAGNITUDES = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']] as const
const SIZES = [[2 ** 40, 'TB'], [2 ** 30, 'GB'], [2 ** 20, 'MB'], [2 ** 10, 'KB']] as const
/** Times further away than this are shown with their date. */
const CLOCK_ALONE_MS = 43_200_000
const AGES = [[86_400, 'd'], [3_600, 'h'], [60, 'min']] as const
/** Digits of a value whose resolution is not known. */
const SIGNIFICANT_DIGITS = 5
const DECIMALS_MAX = 6

/** 9,998 as a whole number. */
export function count (value: number | null): string {
  return value === null ? NO_VALUE : grouped.format(value)
}

/** 1.23 M: at most three digits and a magnitude. */
export function short (value: number | null): string {
  if (value === null) return NO_VALUE
  // Rounded first: 999,999 is 1 M, not 1000 k.
  const rounded = Number(value.toPrecision(3))
  for (const [size, suffix] of MAGNITUDES) {
    if (Math.abs(rounded) >= size) return `${rounded / (suffix === 'k' ? 1e3 : size)}${NUMBER_SPACE}${suffix}`
  }
  return Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(1) : grouped.format(value)
}

export function bytes (value: number | null): string {
  if (value === null) return NO_VALUE
  for (const [size, suffix] of SIZES) {
    const scaled = value / size
    // From 999.5 on, three digits would be 1.00e+3.
    if (scaled >= 1) return `${scaled < 100 ? scaled.toPrecision(3) : scaled.toFixed(0)}${NUMBER_SPACE}${suffix}`
  }
  return `${value}${NUMBER_SPACE}B`
}

/** A duration in seconds: 0.9 ms, 120 ms, 1.2 s, 3 min. */
export function duration (seconds: number | null): string {
  if (seconds === null) return NO_VALUE
  if (seconds === 0) return '0'
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)}${NUMBER_SPACE}ms`
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}${NUMBER_SPACE}ms`
  return seconds < 10 ? `${seconds.toFixed(1)}${NUMBER_SPACE}s` : age(seconds * 1000)
}

/** A whole number of the largest unit, so that it changes rarely. */
export function age (milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  for (const [size, unit] of AGES) {
    if (seconds >= size) return `${Math.floor(seconds / size)}${NUMBER_SPACE}${unit}`
  }
  return `${seconds}${NUMBER_SPACE}s`
}

/** The same in two or three characters: 9m, 14h. */
export function shortAge (milliseconds: number): string {
  return age(milliseconds).replace(NUMBER_SPACE, '').replace('min', 'm')
}

/** Decimals that show every step of a sensor: 2 for 0.25. */
export function decimalsOf (resolution: number): number {
  for (let decimals = 0; decimals < DECIMALS_MAX; decimals++) {
    const scaled = resolution * 10 ** decimals
    if (Math.abs(scaled - Math.round(scaled)) < 1e-9) return decimals
  }
  return DECIMALS_MAX
}

/** @param resolution smallest step of the sensor; null: not known */
export function reading (value: number | null, resolution: number | null): string {
  if (value === null) return NO_VALUE
  if (!Number.isFinite(value)) return String(value)
  if (resolution !== null && Math.abs(value) < 1e12) {
    return value.toLocaleString('en-US', {
      minimumFractionDigits: decimalsOf(resolution), maximumFractionDigits: decimalsOf(resolution)
    })
  }
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(3)
    : Number(value.toPrecision(SIGNIFICANT_DIGITS)).toLocaleString('en-US', { maximumFractionDigits: DECIMALS_MAX })
}

/** 14:03:59 */
export function clock (milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(11, 19)
}

/** 2026-11-27 14:03:59 */
export function dateTime (milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ')
}

/** The time alone if it is of the last twelve hours, otherwise with the date. */
export function when (milliseconds: number, nowMs: number): string {
  return Math.abs(nowMs - milliseconds) < CLOCK_ALONE_MS ? clock(milliseconds) : dateTime(milliseconds)
}

/** The same with milliseconds. */
export function whenExactly (milliseconds: number, nowMs: number): string {
  return when(milliseconds, nowMs) + new Date(milliseconds).toISOString().slice(19, 23)
}
