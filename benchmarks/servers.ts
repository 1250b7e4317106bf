/**
 * All servers that run, whoever started them: so that nothing stays when the benchmark is cut short; and what they
 * complained of, which is a problem of the run during which they did.
 */

export interface Running {
  stop (): Promise<void>
}

const COMPLAINTS_MAX = 100

const running = new Set<Running>()
const complaints = new Set<string>()
let ending = false

/** Throws when the benchmark ends: who waits for a server at that moment must not get one that nobody stops. */
export function refuseWhenEnding (): void {
  if (ending) throw new Error('the benchmark ends')
}

export function addServer (server: Running): void {
  running.add(server)
}

export function removeServer (server: Running): void {
  running.delete(server)
}

/** Stops all servers and lets nobody start another. Rejects with the first failure, after all have been tried. */
export async function stopServers (): Promise<void> {
  ending = true
  const ends = await Promise.allSettled([...running].map((server) => server.stop()))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

export function addComplaint (text: string): void {
  if (complaints.size < COMPLAINTS_MAX) complaints.add(text)
}

/** What servers complained of since the last call, each once. */
export function takeComplaints (): string[] {
  const taken = [...complaints]
  complaints.clear()
  return taken
}
