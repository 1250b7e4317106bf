/**
 * How long a connection of a closed loop pauses before its next request. Each refusal that asks to wait doubles the
 * pause, each accepted request shortens it, so that all connections together converge on slightly more than the server
 * accepts. Resending immediately would consume the CPU time that is being measured.
 */
const PAUSE_MS_MIN = 10
const PAUSE_MS_MAX = 320
/** About thirty requests are accepted between two refusals: 3% are refused. */
const SHRINK = 0.98
const NONE_BELOW_MS = 1

export function pauseAfter (pauseMs: number, askedToWait: boolean): number {
  if (askedToWait) return Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, pauseMs * 2))
  const shorter = pauseMs * SHRINK
  return shorter < NONE_BELOW_MS ? 0 : shorter
}
