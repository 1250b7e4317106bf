/** What the browser remembers. A browser that forbids it still shows the page; it only forgets. */
export function recall (storage: 'local' | 'session', key: string): string {
  try {
    return storageOf(storage).getItem(key) ?? ''
  } catch {
    return ''
  }
}

export function remember (storage: 'local' | 'session', key: string, value: string): void {
  try {
    storageOf(storage).setItem(key, value)
  } catch {
    // Forbidden or full.
  }
}

/** The property alone throws where storage is forbidden. */
function storageOf (storage: 'local' | 'session'): Storage {
  return storage === 'local' ? localStorage : sessionStorage
}
