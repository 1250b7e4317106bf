/**
 * How long a connection of a closed loop rests before its next request. One that is asked to wait rests twice as long as
 * before, and less again with each request that is taken: so all connections together come to send little more than the
 * server takes. Sending again at once what was refused would cost the machine's cores, which are what is measured.
 */
const PAUSE_MS_MIN = 10
const PAUSE_MS_MAX = 320
/** After a refusal about thirty requests are taken before the next one: 3% are refused. */
const SHRINK = 0.98
const NONE_BELOW_MS = 1

export function pauseAfter (pauseMs: number, askedToWait: boolean): number {
  if (askedToWait) return Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, pauseMs * 2))
  const shorter = pauseMs * SHRINK
  return shorter < NONE_BELOW_MS ? 0 : shorter
}
