/** Pages of all senders of a port, with and without keys, ordered by name and then by key. */
import type { KeyRing } from './key-ring.js'
import type { SenderPage, SenderTable } from './senders.js'

/** @param name only senders of this name: one without a key, and one for each key */
export function pageOf (
  senders: SenderTable, keys: KeyRing, offset: number, limit: number, name: string | null
): SenderPage {
  const keyed = [...keys.heard()].flatMap(([key, table]) => (
    table.names().filter((each) => name === null || each === name).map((each) => ({ name: each, key, table }))))
  if (keyed.length === 0) return senders.list(offset, limit, name)
  const unkeyed = name === null ? senders.names : senders.summary(name).map(({ sender }) => sender)
  const all = [...unkeyed.map((each) => ({ name: each, key: '', table: null })), ...keyed]
    .sort((a, b) => compare(a.name, b.name) || compare(a.key, b.key))
  const page = all.slice(offset, offset + limit).flatMap(({ name: each, key, table }) => (
    table === null ? senders.summary(each) : table.summary(each, key)))
  return { total: all.length, offset, senders: page }
}

function compare (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
