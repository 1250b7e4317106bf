/** Random numbers that a seed repeats. */
import type { Random } from '../fake-files.js'

/** The mulberry32 generator (public domain): gives whole numbers from 0 to below - 1. */
export function generator (seed: number): Random {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6D2B79F5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000 * below)
  }
}
