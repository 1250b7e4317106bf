/** SPOOL_DIR as servers of a replicated log: nats://[user:password@]host[:port][,host[:port]...]. */
import { pathOrOff, type SettingType } from './setting-types.js'

/** What SPOOL_DIR may be besides a directory: servers of a replicated log. */
const LOG_URL = /^nats:\/\/(?:[^@/?#\s]*@)?[^@/?#\s]+$/

/** Whether a text names servers of a replicated log. */
export function isLogUrl (text: string): boolean {
  return text.startsWith('nats://')
}

/** A directory, `off`, or servers of a replicated log: nats://[user:password@]host[:port][,host[:port]...]. */
export function pathOffOrLog (): SettingType<string> {
  const place = pathOrOff()
  return {
    ...place,
    allowed: 'a directory, `off`, or `nats://host,host,host`',
    parse (text) {
      if (!isLogUrl(text)) return place.parse(text)
      const isServer = (server: string): boolean => server !== '' && URL.canParse(`nats://${server}`)
      const isValid = LOG_URL.test(text) && parseLogUrl(text).servers.every(isServer)
      return isValid
        ? { ok: true, value: text }
        : { ok: false, message: 'is not of the form nats://user:password@host:port,host:port' }
    }
  }
}

export interface LogTarget {
  /** host or host:port of each. */
  readonly servers: readonly string[]
  readonly user: string | null
  readonly password: string | null
}

/** The parts of a nats:// URL. User and password may be percent-encoded. */
export function parseLogUrl (text: string): LogTarget {
  const rest = text.slice('nats://'.length)
  const at = rest.lastIndexOf('@')
  const [user = '', ...password] = at < 0 ? [] : rest.slice(0, at).split(':')
  const plain = (part: string): string => part.replace(/(?:%[0-9a-f]{2})+/gi, code => {
    try {
      return decodeURIComponent(code)
    } catch {
      return code
    }
  })
  return {
    servers: rest.slice(at + 1).split(','),
    user: at < 0 ? null : plain(user),
    password: password.length === 0 ? null : plain(password.join(':'))
  }
}

/** For showing: the password replaced. */
export function maskLogUrl (text: string): string {
  const { user, password, servers } = parseLogUrl(text)
  return isLogUrl(text) && password !== null ? `nats://${String(user)}:***@${servers.join(',')}` : text
}
