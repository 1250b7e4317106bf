/** GET /udp/senders: reads which page is requested. */
import type { SenderQuery } from './status-port.js'

const LIMIT_DEFAULT = 100
const LIMIT_MAX = 1_000
/** More senders than there can be. */
const OFFSET_MAX = 1_000_000

/** @param query without '?' */
export function readSenderQuery (query: string): SenderQuery | { readonly message: string } {
  const found = { offset: 0, limit: LIMIT_DEFAULT, sender: null as string | null }
  const seen = new Set<string>()
  for (const [name, text] of new URLSearchParams(query)) {
    if (seen.has(name)) return { message: `${name} is given twice.` }
    seen.add(name)
    switch (name) {
      case 'offset':
      case 'limit': {
        const [min, max] = name === 'offset' ? [0, OFFSET_MAX] : [1, LIMIT_MAX]
        const value = /^\d{1,7}$/.test(text) ? Number(text) : NaN
        if (!(value >= min && value <= max)) return { message: `${name} must be an integer from ${min} to ${max}.` }
        found[name] = value
        break
      }
      case 'sender':
        found.sender = text
        break
      default:
        return { message: `Unknown query parameter ${JSON.stringify(name)}; use offset, limit or sender.` }
    }
  }
  return found
}
