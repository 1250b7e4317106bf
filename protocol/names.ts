/** Names in messages: to senders, and about files. */
import { closest, distance } from 'fastest-levenshtein'

/** Longest text from outside that is repeated in a message, in UTF-16 units: any text may be one. */
export const ECHO_MAX = 64
/** Names listed in a message. */
const LISTED_MAX = 20
/** Longest text of a sender that is compared with names: the time to do it grows with the length. */
const COMPARED_MAX = 64
/** A name is similar to a known one if at most a third of its letters differ. */
const NEAR_SHARE = 1 / 3

export function listNames (names: readonly string[]): string {
  const rest = names.length - LISTED_MAX
  return rest > 0 ? `${names.slice(0, LISTED_MAX).join(', ')} and ${rest} more` : names.join(', ')
}

/** The known name that somebody may have meant; null: none is similar. */
export function similarName (name: string, known: readonly string[]): string | null {
  if (name.length > COMPARED_MAX || known.length === 0) return null
  const near = closest(name, known)
  return distance(name, near) <= near.length * NEAR_SHARE ? near : null
}

/** The message about a stream that the catalogue does not have. */
export function noSuchStream (name: string, known: readonly string[]): string {
  const near = similarName(name, known)
  const shown = JSON.stringify(name.slice(0, ECHO_MAX))
  const hint = near === null ? '; the' : `; did you mean ${near}? The`
  return `There is no stream ${shown}${hint} streams are ${listNames(known)}.`
}
