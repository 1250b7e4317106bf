/** How full a journal is: at soft, requests get 429, at hard 503. */
export type Pressure = 'none' | 'soft' | 'hard'

/** Share of the hard limit at which senders are asked to slow down. */
const SOFT_SHARE = 0.8

export function pressureOf (bytes: number, bytesMax: number): Pressure {
  if (bytes >= bytesMax) return 'hard'
  return bytes >= bytesMax * SOFT_SHARE ? 'soft' : 'none'
}
