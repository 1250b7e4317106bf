/**
 * The file of API_TOKENS_FILE:
 *
 *   { "tokens": [
 *     { "name": "bench", "sha256": "<64 hexadecimal digits>", "roles": ["ingest"] },
 *     { "name": "mission-7", "sha256": "…", "roles": ["ingest", "read"], "satellites": ["SAT-00*"], "expires": "2027-01-01T00:00:00Z" }
 *   ] }
 *
 * It is taken whole or not at all, and every fault is named: a token with a misspelt `expires` would never end.
 */
import { readFile, stat } from 'node:fs/promises'
import { SatellitePatterns } from '../limits/satellite-patterns.js'
import { parseIsoTime } from '../../protocol/time.js'
import { nearest } from '../config/value-types.js'
import { ROLES, tokensOfSetting, type Role, type Token } from './token.js'

/** Each is compared with what a request sends: a thousand cost 25 µs. */
const TOKENS_MAX = 1_000
/** A thousand tokens of a kilobyte each, which most are far below. */
const FILE_BYTES_MAX = 1024 * 1024
/** Faults that are named: a file of another kind has one on every line. */
const FAULTS_MAX = 100
/** Longest text of the file that a message repeats. */
const ECHO_MAX = 64
const NAME = /^[\w.-]{1,64}$/
const SHA256 = /^[0-9a-f]{64}$/i
const TOKEN_FIELDS = ['name', 'sha256', 'roles', 'satellites', 'expires'] as const
const MICROS_PER_MS = 1000

export type ReadTokens =
  /** Null: no token is asked for. A list without any lets nobody in. */
  | { readonly ok: true, readonly tokens: readonly Token[] | null }
  /** Sentences without their full stop. */
  | { readonly ok: false, readonly faults: readonly string[] }

/** All tokens that count: those of API_TOKENS, and those of the file. @param file null: there is none */
export async function readTokens (apiTokens: readonly string[], file: string | null): Promise<ReadTokens> {
  const own = tokensOfSetting(apiTokens)
  if (file === null) return { ok: true, tokens: own.length === 0 ? null : own }
  let text
  try {
    text = await readBounded(file)
  } catch (error) {
    return { ok: false, faults: [`cannot be read: ${(error as Error).message}`] }
  }
  return text === null ? { ok: false, faults: [`is no file, or larger than ${FILE_BYTES_MAX} bytes`] } : parseTokenFile(text, own)
}

/** Null: no plain file, or larger than it may be. */
async function readBounded (path: string): Promise<string | null> {
  const stats = await stat(path)
  return stats.isFile() && stats.size <= FILE_BYTES_MAX ? await readFile(path, 'utf8') : null
}

/** @param others tokens that count beside those of the file; they come first in the result */
export function parseTokenFile (text: string, others: readonly Token[] = []): ReadTokens {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { ok: false, faults: [`is not valid JSON: ${(error as Error).message}`] }
  }
  const reader = new TokenFileReader(others)
  const tokens = reader.read(value)
  return reader.faults.length === 0 ? { ok: true, tokens: [...others, ...tokens] } : { ok: false, faults: reader.faults }
}

type Fields = Readonly<Record<string, unknown>>

class TokenFileReader {
  readonly faults: string[] = []
  private readonly names: Set<string>
  private readonly digests: Set<string>

  constructor (others: readonly Token[]) {
    this.names = new Set(others.map(({ name }) => name))
    this.digests = new Set(others.map(({ sha256 }) => sha256))
  }

  read (value: unknown): Token[] {
    const fields = this.fields(value, '', ['tokens'])
    if (fields === null) return []
    const tokens = fields['tokens']
    if (!Array.isArray(tokens)) return this.refuse([], 'tokens', 'must be a list')
    if (tokens.length > TOKENS_MAX) return this.refuse([], 'tokens', `has ${tokens.length} entries; at most ${TOKENS_MAX} are possible`)
    return tokens.flatMap((entry, index) => this.readToken(entry, `tokens[${index}]`) ?? [])
  }

  private readToken (value: unknown, path: string): Token | null {
    const fields = this.fields(value, path, TOKEN_FIELDS)
    if (fields === null) return null
    const name = this.readName(fields['name'], `${path}.name`)
    const sha256 = this.readDigest(fields['sha256'], `${path}.sha256`)
    const roles = this.readRoles(fields['roles'], `${path}.roles`)
    const satellites = 'satellites' in fields ? this.readSatellites(fields['satellites'], `${path}.satellites`) : null
    const expiresMs = 'expires' in fields ? this.readExpiry(fields['expires'], `${path}.expires`) : null
    return { name, sha256, roles, satellites, expiresMs }
  }

  private readName (value: unknown, path: string): string {
    if (typeof value !== 'string' || !NAME.test(value)) return this.refuse('', path, 'must have 1 to 64 letters, digits, dots, dashes and underscores')
    if (this.names.has(value)) this.fault(path, `"${value}" is the name of another token`)
    this.names.add(value)
    return value
  }

  private readDigest (value: unknown, path: string): string {
    if (typeof value !== 'string' || !SHA256.test(value)) return this.refuse('', path, 'must be the SHA-256 of a token, 64 hexadecimal digits')
    const digest = value.toLowerCase()
    if (this.digests.has(digest)) this.fault(path, 'is that of another token')
    this.digests.add(digest)
    return digest
  }

  private readRoles (value: unknown, path: string): Role[] {
    if (!Array.isArray(value) || value.length === 0) return this.refuse([], path, `must be a list of ${ROLES.join(', ')}`)
    return value.flatMap((text: unknown, index) => {
      const role = ROLES.find((known) => known === text)
      if (role !== undefined) return [role]
      return this.refuse([], `${path}[${index}]`, `is none of ${ROLES.join(', ')}${meant(String(text), ROLES)}`)
    })
  }

  private readSatellites (value: unknown, path: string): string[] {
    if (!Array.isArray(value) || value.length === 0) return this.refuse([], path, 'must be a list of ids and patterns; leave it out for all satellites')
    const texts = value as unknown[]
    const problem = SatellitePatterns.problemOf(texts)
    if (problem !== null) this.fault(path, problem)
    return texts as string[]
  }

  private readExpiry (value: unknown, path: string): number | null {
    const micros = typeof value === 'string' ? parseIsoTime(value) : NaN
    if (Number.isNaN(micros)) return this.refuse(null, path, 'must be a time such as 2027-01-01T00:00:00Z')
    return micros / MICROS_PER_MS
  }

  /** The object itself, or null and a fault. */
  private fields (value: unknown, path: string, known: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.refuse(null, path, `must be an object with ${known.join(', ')}`)
    for (const key of Object.keys(value)) {
      if (!known.includes(key)) this.fault(path === '' ? key : `${path}.${key}`.slice(0, 2 * ECHO_MAX), `is not known; known are ${known.join(', ')}${meant(key, known)}`)
    }
    return value as Fields
  }

  /** Names a fault; `instead` stands for what could not be read. */
  private refuse<T> (instead: T, path: string, message: string): T {
    this.fault(path, message)
    return instead
  }

  private fault (path: string, message: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push(path === '' ? message : `${path} ${message}`)
  }
}

function meant (text: string, known: readonly string[]): string {
  const word = nearest(text.slice(0, ECHO_MAX), known)
  return word === null ? '' : `; did you mean ${word}?`
}
