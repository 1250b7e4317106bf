/**
 * The file of API_TOKENS_FILE, YAML or JSON, which is YAML too:
 *
 *   tokens:
 *     - { "name": "bench", "sha256": "<64 hexadecimal digits>", "roles": ["ingest"] }
 *     - name: mission-7
 *       sha256: …
 *       roles: [ingest, read]
 *       satellites: ["SAT-00*"]
 *       satellites_max: 100
 *       requests_per_second: 50
 *       points_per_second: 5000
 *       expires: 2027-01-01T00:00:00Z
 *
 * The file is accepted as a whole or not at all, and all faults are listed: a token with a misspelt `expires` would
 * never expire.
 */
import { parseYaml } from '../config/yaml-document.js'
import { SatellitePatterns } from '../limits/satellite-patterns.js'
import { ECHO_MAX } from '../../protocol/names.js'
import { parseIsoTime } from '../../protocol/time.js'
import { readBounded } from '../config/bounded-file.js'
import { RATE_MAX } from '../config/settings.js'
import { nearest } from '../config/setting-types.js'
import { ACCESS_FILE_BYTES_MAX, AccessFileReader, type Fields } from './access-file.js'
import { ROLES, tokensFromSetting, type Role, type Token } from './token.js'

/** Every request compares its token with all of them: a thousand take 25 µs. */
export const TOKENS_MAX = 1_000
const NAME = /^[\w.-]{1,64}$/
const SHA256 = /^[0-9a-f]{64}$/i
const TOKEN_FIELDS = [
  'name', 'sha256', 'roles', 'satellites', 'satellites_max', 'requests_per_second', 'points_per_second', 'expires'
] as const
/** Every worker keeps their ids. */
const SATELLITES_MAX = 100_000
/** `satellites_max` of all tokens together. */
export const SATELLITES_TOTAL_MAX = 1_000_000
const MICROS_PER_MS = 1000

export type ReadTokens =
  /** Null: no token is required. An empty list admits nobody. */
  | { readonly ok: true, readonly tokens: readonly Token[] | null }
  /** Sentences without a full stop. */
  | { readonly ok: false, readonly faults: readonly string[] }

/** Reads all valid tokens: those in API_TOKENS, and those in the file. @param file null: none */
export async function readTokens (apiTokens: readonly string[], file: string | null): Promise<ReadTokens> {
  const own = tokensFromSetting(apiTokens)
  if (file === null) return { ok: true, tokens: own.length === 0 ? null : own }
  const { text, problem } = await readBounded(file, ACCESS_FILE_BYTES_MAX)
  return problem === null ? parseTokenFile(text, own) : { ok: false, faults: [problem] }
}

/** @param others valid in addition to those in the file; they come first in the result */
export function parseTokenFile (text: string, others: readonly Token[] = []): ReadTokens {
  const parsed = parseYaml(text)
  if (!parsed.ok) {
    return { ok: false, faults: parsed.faults.map(({ line, message }) => `${message} (line ${line})`) }
  }
  const reader = new TokenFileReader(others)
  const tokens = reader.read(parsed.document.value)
  if (reader.faults.length > 0) return { ok: false, faults: reader.faults }
  return { ok: true, tokens: [...others, ...tokens] }
}

class TokenFileReader extends AccessFileReader {
  private readonly names: Set<string>
  private readonly digests: Set<string>

  constructor (others: readonly Token[]) {
    super()
    this.names = new Set(others.map(({ name }) => name))
    this.digests = new Set(others.map(({ sha256 }) => sha256))
  }

  read (value: unknown): Token[] {
    const tokens = this.entries(value, 'tokens', TOKENS_MAX)
    const read = tokens.flatMap((entry, index) => this.readToken(entry, `tokens[${index}]`) ?? [])
    const satellites = read.reduce((sum, { satellitesMax }) => sum + (satellitesMax ?? 0), 0)
    if (satellites > SATELLITES_TOTAL_MAX) {
      this.fault('tokens', `have a satellites_max of ${satellites} together; the maximum is ${SATELLITES_TOTAL_MAX}`)
    }
    return read
  }

  private readToken (value: unknown, path: string): Token | null {
    const fields = this.fields(value, path, TOKEN_FIELDS)
    if (fields === null) return null
    const name = this.readName(fields['name'], `${path}.name`)
    const sha256 = this.readDigest(fields['sha256'], `${path}.sha256`)
    const roles = this.readRoles(fields['roles'], `${path}.roles`)
    const satellites = 'satellites' in fields ? this.readSatellites(fields['satellites'], `${path}.satellites`) : null
    const expiresMs = 'expires' in fields ? this.readExpiry(fields['expires'], `${path}.expires`) : null
    const satellitesMax = this.readCount(fields, 'satellites_max', SATELLITES_MAX, path)
    const requests = this.readCount(fields, 'requests_per_second', RATE_MAX, path)
    const points = this.readCount(fields, 'points_per_second', RATE_MAX, path)
    const rates = requests === null && points === null ? null : { requests, points }
    return { name, sha256, roles, satellites, satellitesMax, rates, expiresMs }
  }

  private readName (value: unknown, path: string): string {
    if (typeof value !== 'string' || !NAME.test(value)) {
      return this.refuse('', path, 'must consist of 1 to 64 letters, digits, dots, dashes and underscores')
    }
    if (this.names.has(value)) this.fault(path, `"${value}" is the name of another token`)
    this.names.add(value)
    return value
  }

  private readDigest (value: unknown, path: string): string {
    if (typeof value !== 'string' || !SHA256.test(value)) {
      return this.refuse('', path, 'must be the SHA-256 of a token, 64 hexadecimal digits')
    }
    const digest = value.toLowerCase()
    if (this.digests.has(digest)) this.fault(path, 'is the digest of another token')
    this.digests.add(digest)
    return digest
  }

  private readRoles (value: unknown, path: string): Role[] {
    if (!Array.isArray(value) || value.length === 0) {
      return this.refuse([], path, `must be a non-empty list of roles: ${ROLES.join(', ')}`)
    }
    return value.flatMap((text: unknown, index) => {
      const role = ROLES.find((known) => known === text)
      if (role !== undefined) return [role]
      const hint = typeof text === 'string' ? meant(text, ROLES) : ''
      return this.refuse([], `${path}[${index}]`, `must be one of ${ROLES.join(', ')}${hint}`)
    })
  }

  private readSatellites (value: unknown, path: string): string[] {
    if (!Array.isArray(value) || value.length === 0) {
      return this.refuse([], path, 'must be a non-empty list of ids and patterns; omit it to allow all satellites')
    }
    const texts = value as unknown[]
    const problem = SatellitePatterns.problemOf(texts)
    if (problem !== null) this.fault(path, problem)
    return texts as string[]
  }

  private readCount (fields: Fields, name: string, max: number, path: string): number | null {
    if (!(name in fields)) return null
    const value = fields[name]
    if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return value as number
    return this.refuse(null, `${path}.${name}`, `must be a whole number from 1 to ${max}`)
  }

  private readExpiry (value: unknown, path: string): number | null {
    const micros = typeof value === 'string' ? parseIsoTime(value) : NaN
    if (Number.isNaN(micros)) return this.refuse(null, path, 'must be a time such as 2027-01-01T00:00:00Z')
    return micros / MICROS_PER_MS
  }

  protected override refuseField (key: string, path: string, known: readonly string[]): void {
    const place = path === '' ? key : `${path}.${key}`.slice(0, 2 * ECHO_MAX)
    this.fault(place, `is not a known field; use ${known.join(', ')}${meant(key, known)}`)
  }
}

function meant (text: string, known: readonly string[]): string {
  const word = nearest(text.slice(0, ECHO_MAX), known)
  return word === null ? '' : `; did you mean ${word}?`
}
