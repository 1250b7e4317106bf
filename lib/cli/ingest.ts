/**
 * The program orbitstream-ingest: finds the command, reads its command line and configuration, runs it.
 *
 * The one place of the program that prints and sets the exit code: 0 done, 1 failed, 2 not understood.
 */
import { describeSettings, loadConfig } from '../config.js'
import { nearest } from '../value-types.js'
import { parseArguments, usageError } from './arguments.js'
import { config } from './commands/config.js'
import { databaseUrl } from './commands/database-url.js'
import { limits } from './commands/limits.js'
import { migrate } from './commands/migrate.js'
import { start } from './commands/start.js'
import { describeFailure } from './failure.js'
import { columns } from './help.js'
import type { ConfigSources } from '../config.js'
import type { Command } from './command.js'
import type { Option } from './options.js'

const PROGRAM = 'orbitstream-ingest'

/** Every command; a new one is a file in commands/ and a word here. */
const COMMANDS: readonly Command[] = [start, migrate, limits, config, databaseUrl]

interface Output {
  readonly print: (text: string) => void
  readonly complain: (text: string) => void
}

/** Settings as options. They are read as text: loadConfig knows their types, and names the problems of all of them. */
function settingOptions ({ settings }: Command): Option[] {
  return describeSettings()
    .filter(({ key }) => settings === 'all' || settings.includes(key))
    .map(({ flag, kind, help, defaultText, env }) => (
      { name: flag, type: 'string', placeholder: kind, group: 'Settings', help, note: `default ${defaultText}; variable ${env}` }
    ))
}

function topLevel (argv: readonly string[], output: Output): number {
  const [first] = argv
  const parsed = parseArguments({
    program: PROGRAM,
    summary: 'OrbitStream takes telemetry of satellites over the network and stores it in PostgreSQL.',
    options: [],
    positionals: { usage: '<command>', min: 0, max: Infinity },
    epilogue: `Commands:\n${columns(COMMANDS.map(({ name, summary }) => [`  ${name}`, summary]))}\n\nOptions of a command: ${PROGRAM} <command> --help`
  }, first === undefined ? ['--help'] : argv.slice(0, 1))
  // Nothing to do is no success: a script that lost its command must notice.
  if (first === undefined) return end({ exitCode: 2, text: parsed.kind === 'exit' ? parsed.text : '' }, output)
  if (parsed.kind === 'exit') return end(parsed, output)
  const meant = nearest(first, COMMANDS.map(({ name }) => name))
  return end(usageError(PROGRAM, [`"${first}" is not a command${meant === null ? '' : `; did you mean ${meant}?`}`]), output)
}

function end ({ exitCode, text }: { exitCode: number, text: string }, { print, complain }: Output): number {
  (exitCode === 0 ? print : complain)(text)
  return exitCode
}

async function runCommand (command: Command, argv: readonly string[], output: Output): Promise<number> {
  const program = `${PROGRAM} ${command.name}`
  const settings = settingOptions(command)
  const parsed = parseArguments({ ...command, program, options: [...command.options, ...settings] }, argv)
  if (parsed.kind === 'exit') return end(parsed, output)
  const sources: ConfigSources = { flags: Object.fromEntries(settings.map(({ name }) => [name, parsed.values[name]])) }
  const loaded = loadConfig(sources)
  for (const warning of loaded.warnings) output.complain(`warning: ${warning}`)
  if (!loaded.ok) return end(usageError(program, loaded.problems.map(({ setting, message }) => `${setting}: ${message}`)), output)
  return await command.run({ ...output, ...parsed, config: loaded.config, sources })
}

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words behind the program's name
 */
export async function main (argv: readonly string[]): Promise<void> {
  const output: Output = {
    print: text => process.stdout.write(`${text}\n`),
    complain: text => process.stderr.write(`${text}\n`)
  }
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  const command = COMMANDS.find(({ name }) => name === argv[0])
  try {
    process.exitCode = command === undefined ? topLevel(argv, output) : await runCommand(command, argv.slice(1), output)
  } catch (error) {
    output.complain(describeFailure(error))
    process.exitCode = 1
  }
}
