/** Numbers as people and programs write them. */

/** Bits of the largest whole numbers that are stored. */
export const INT_BITS_MAX = 53

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i
const HEXADECIMAL = /^[+-]?0x[0-9a-f]+$/i

/** Null: not a finite number. */
export function numberOf (text: string): number | null {
  const plain = text.trim().replace('−', '-').replace(/(?<=\d)_(?=\d)/g, '')
  const isHexadecimal = HEXADECIMAL.test(plain)
  if (!isHexadecimal && !DECIMAL.test(plain)) return null
  const value = isHexadecimal && plain.startsWith('-') ? -Number(plain.slice(1)) : Number(plain.replace(/^\+/, ''))
  return Number.isFinite(value) ? value : null
}
