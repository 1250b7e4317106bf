/** Runs a command of the programs to its end, as a shell would. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArguments } from '../../../lib/cli/arguments.js'
import type { Command } from '../../../lib/cli/command.js'
import type { Option } from '../../../lib/cli/options.js'
import { describeSettings, loadConfig } from '../../../lib/config/config.js'

export const INGEST = fileURLToPath(new URL('../../../../bin/orbitstream-ingest', import.meta.url))
const TIMEOUT_MS = 90_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

export interface Outcome { readonly code: number, readonly out: string, readonly err: string }

/** The test environment without any OrbitStream settings but these. */
export function environment (settings: Record<string, string>): NodeJS.ProcessEnv {
  const own = new Set(describeSettings().map(({ env }) => env))
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.has(name))), ...settings }
}

/**
 * Command that starts Node.js without the loader that tap adds to NODE_OPTIONS of every child process: that more than
 * doubles the CPU time of a program start.
 */
export function nodeCommand (nodeOptions?: string): [string, ...string[]] {
  const change = nodeOptions === undefined ? ['-u', 'NODE_OPTIONS'] : [`NODE_OPTIONS=${nodeOptions}`]
  return ['env', ...change, process.execPath]
}

/** @param words what follows the program's name */
export async function runIngest (words: readonly string[], settings: Record<string, string> = {}): Promise<Outcome> {
  return await runProgram('orbitstream-ingest', words, settings)
}

/** @param name a file in bin/ */
export async function runProgram (
  name: string, words: readonly string[], settings: Record<string, string> = {}
): Promise<Outcome> {
  const program = fileURLToPath(new URL(`../../../../bin/${name}`, import.meta.url))
  const [command, ...before] = nodeCommand()
  const options = { env: environment(settings), timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX }
  return await new Promise(resolve => {
    const child = execFile(command, [...before, program, ...words], options, (_, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}

/** Runs a command in this process. @param settings by flag */
export async function runHere<O extends readonly Option[]> (
  command: Command<O>, words: readonly string[], settings: Readonly<Record<string, string>>
): Promise<Outcome> {
  let [out, err] = ['', '']
  const parsed = parseArguments({ ...command, program: command.name }, words)
  const loaded = loadConfig({ flags: settings })
  if (parsed.kind === 'exit') throw new Error(parsed.text)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const code = await command.run({
    ...parsed,
    config: loaded.config,
    sources: { flags: settings },
    print: (text) => { out += `${text}\n` },
    complain: (text) => { err += `${text}\n` }
  })
  return { code, out, err }
}
