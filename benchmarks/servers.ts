/**
 * All running servers, so that none is left behind when the benchmark is cut short; and the errors that they logged,
 * which are problems of the run during which they occurred.
 */

export interface Running {
  stop (): Promise<void>
}

const COMPLAINTS_MAX = 100

const running = new Set<Running>()
const complaints = new Set<string>()
let ending = false

/** Throws while the benchmark is ending: a server started then would never be stopped. */
export function refuseWhenEnding (): void {
  if (ending) throw new Error('the benchmark is ending')
}

export function addServer (server: Running): void {
  running.add(server)
}

export function removeServer (server: Running): void {
  running.delete(server)
}

/** Stops all servers and prevents new ones. Rejects with the first failure, after all were tried. */
export async function stopServers (): Promise<void> {
  ending = true
  const ends = await Promise.allSettled([...running].map((server) => server.stop()))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

export function addComplaint (text: string): void {
  if (complaints.size < COMPLAINTS_MAX) complaints.add(text)
}

/** Errors that servers logged since the last call, each once. */
export function takeComplaints (): string[] {
  const taken = [...complaints]
  complaints.clear()
  return taken
}
