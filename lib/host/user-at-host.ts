/** Who runs a command, for the history of what it changes: user@host. */
import { hostname, userInfo } from 'node:os'

/** In a container the user may have a number only. */
export function userAtHost (): string {
  return `${userName()}@${hostname()}`
}

function userName (): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.())
  }
}
