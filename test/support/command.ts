/** Runs a command of orbitstream-ingest to its end, as a shell would. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describeSettings } from '../../lib/config/config.js'

export const INGEST = fileURLToPath(new URL('../../../bin/orbitstream-ingest', import.meta.url))
const TIMEOUT_MS = 90_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

export interface Outcome { readonly code: number, readonly out: string, readonly err: string }

/** The environment of the tests without settings of OrbitStream. */
export function environment (settings: Record<string, string>): NodeJS.ProcessEnv {
  const own = new Set(describeSettings().map(({ env }) => env))
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.has(name))), ...settings }
}

/** @param words behind the program's name */
export async function runIngest (words: readonly string[], settings: Record<string, string> = {}): Promise<Outcome> {
  return await runProgram('orbitstream-ingest', words, settings)
}

/** @param name in bin/ */
export async function runProgram (name: string, words: readonly string[], settings: Record<string, string> = {}): Promise<Outcome> {
  const program = fileURLToPath(new URL(`../../../bin/${name}`, import.meta.url))
  return await new Promise(resolve => {
    const child = execFile(process.execPath, [program, ...words], { env: environment(settings), timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX }, (_, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}
