/** After how long without a point a satellite is stale: a choice of this browser. */
import { recall, remember } from '../net/browser-storage.js'

const KEY = 'orbitstream-stale'
const MINUTE_MS = 60_000

export const STALE_CHOICES = [
  { ms: 10_000, title: '10 s' },
  { ms: MINUTE_MS, title: '1 min' },
  { ms: 10 * MINUTE_MS, title: '10 min' },
  { ms: 60 * MINUTE_MS, title: '1 h' },
  { ms: 720 * MINUTE_MS, title: '12 h' },
  { ms: 1_440 * MINUTE_MS, title: '1 d' }
] as const

export class Staleness {
  ms: number

  constructor () {
    const kept = Number(recall('local', KEY))
    this.ms = STALE_CHOICES.some(({ ms }) => ms === kept) ? kept : MINUTE_MS
  }

  choose (ms: number): void {
    this.ms = ms
    remember('local', KEY, String(ms))
  }
}
