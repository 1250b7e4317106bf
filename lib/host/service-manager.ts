/**
 * Tells systemd that a service with Type=notify is ready.
 *
 * The protocol is a datagram to the Unix socket in NOTIFY_SOCKET. Node.js has no such sockets, so the program
 * systemd-notify sends it; the unit therefore needs NotifyAccess=all. It is part of systemd.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** systemd-notify waits up to 5 s for systemd to receive the message. */
const NOTIFY_TIMEOUT_MS = 10_000

/**
 * Takes the socket out of the environment, so that no child process (PostgreSQL, for example) reports its own state.
 *
 * @returns reports readiness. Rejects if that fails. Null: there is no service manager that wants to know
 */
export function takeServiceManager (env: NodeJS.ProcessEnv = process.env): (() => Promise<void>) | null {
  const socket = env.NOTIFY_SOCKET
  if (socket === undefined || socket === '') return null
  delete env.NOTIFY_SOCKET
  return async () => {
    const options = { env: { ...env, NOTIFY_SOCKET: socket }, timeout: NOTIFY_TIMEOUT_MS }
    await promisify(execFile)('systemd-notify', ['--ready'], options)
  }
}
