/** What a stream of the file says about its storage: keys with the syntax and the bounds of the server's settings. */
import { STORED_AS_SET, type StreamStorage } from '../../protocol/catalogue.js'
import { SETTINGS } from '../config/settings.js'
import { formatDuration } from '../config/setting-types.js'

const SETTING_OF = {
  retention: 'retentionMs', chunk_interval: 'chunkIntervalMs', compress_after: 'compressAfterMs'
} as const
type StorageKey = keyof typeof SETTING_OF

export const STORAGE_KEYS = Object.keys(SETTING_OF) as readonly StorageKey[]

/** @param fault is told of each key that has one */
export function readStorage (
  fields: Readonly<Record<string, unknown>>, fault: (key: string, message: string) => void
): StreamStorage {
  const read = STORAGE_KEYS.flatMap((key) => {
    const value = fields[key]
    if (value === undefined) return []
    const setting = SETTING_OF[key]
    const { type } = SETTINGS[setting]
    const parsed = type.parse(typeof value === 'string' ? value : '')
    if (parsed.ok) return [[setting, parsed.value] as const]
    fault(key, `must be a duration such as 12h or 7d, ${type.allowed}`)
    return []
  })
  return { ...STORED_AS_SET, ...Object.fromEntries(read) }
}

/** As the file has it; undefined: the setting holds. */
export function storageFields (storage: StreamStorage): Readonly<Record<StorageKey, string | undefined>> {
  const field = (key: StorageKey): string | undefined => {
    const ms = storage[SETTING_OF[key]]
    return ms === null ? undefined : formatDuration(ms)
  }
  return {
    retention: field('retention'),
    chunk_interval: field('chunk_interval'),
    compress_after: field('compress_after')
  }
}
