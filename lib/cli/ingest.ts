/**
 * The program orbitstream-ingest: finds the command, reads its command line and configuration, and runs it.
 *
 * Exit codes: 0 success, 1 failure, 2 invalid usage.
 */
import { fileURLToPath } from 'node:url'
import { describeSettings, loadConfig } from '../config/config.js'
import { becomeOwner } from '../host/owner.js'
import { nearest } from '../config/value-types.js'
import { parseArguments, usageError } from './arguments.js'
import { config } from './commands/config.js'
import { databaseUrl } from './commands/database-url.js'
import { health } from './commands/health.js'
import { limits } from './commands/limits.js'
import { migrate } from './commands/migrate.js'
import { quarantineDrop } from './commands/quarantine-drop.js'
import { quarantineList } from './commands/quarantine-list.js'
import { quarantineRetry } from './commands/quarantine-retry.js'
import { rollupsFill } from './commands/rollups-fill.js'
import { spoolDrain } from './commands/spool/spool-drain.js'
import { spoolInspect } from './commands/spool/spool-inspect.js'
import { spoolResolve } from './commands/spool/spool-resolve.js'
import { start } from './commands/start.js'
import { tokenCreate } from './commands/token-create.js'
import { describeFailure } from './failure.js'
import { columns } from './help.js'
import { end, STANDARD_OUTPUT, type Output } from './output.js'
import type { Config, ConfigSources } from '../config/config.js'
import type { Command } from './command.js'
import type { Option } from './options.js'

const PROGRAM = 'orbitstream-ingest'
const WORKER = fileURLToPath(new URL('../worker/worker.js', import.meta.url))

/**
 * All commands. To add one, add a file to commands/ and an entry here. A two-word name makes the first word a group.
 */
const COMMANDS: readonly Command[] = [
  start, health, migrate, limits, config, databaseUrl, spoolInspect, spoolDrain, spoolResolve, quarantineList,
  quarantineRetry, quarantineDrop, rollupsFill, tokenCreate
]

/** Settings as options. Parsed as text: loadConfig knows the types and reports all problems. */
function settingOptions ({ settings }: Command): Option[] {
  return describeSettings()
    .filter(({ key }) => settings === 'all' || settings.includes(key))
    .map(({ flag, kind, help, defaultText, env }) => ({
      name: flag,
      type: 'string',
      placeholder: kind,
      group: 'Settings',
      help,
      note: `default: ${defaultText}; variable: ${env}`
    }))
}

/** The command that a command line starts with, or null. */
function findCommand (argv: readonly string[]): Command | null {
  return COMMANDS.find(({ name }) => name.split(' ').every((word, index) => word === argv[index])) ?? null
}

/** Help, version, or an error for a command line that starts with no command. */
function withoutCommand (argv: readonly string[], output: Output): number {
  const group = COMMANDS.some(({ name }) => name.startsWith(`${argv[0] ?? ''} `)) ? argv[0] : undefined
  const [program, commands, rest] = group === undefined
    ? [PROGRAM, COMMANDS, argv]
    : [`${PROGRAM} ${group}`, COMMANDS.filter(({ name }) => name.startsWith(`${group} `)), argv.slice(1)]
  const [word] = rest
  const parsed = parseArguments({
    program,
    summary: 'OrbitStream ingests satellite telemetry over the network and stores it in PostgreSQL.',
    options: [],
    positionals: { usage: '<command>', min: 0, max: Infinity },
    epilogue: `Commands:\n${columns(commands.map(({ name, summary }) => [`  ${name}`, summary]))}\n\n` +
      `Help for a command: ${program} <command> --help`
  }, word === undefined ? ['--help'] : [word])
  // Not a success: a script whose command variable is empty must notice.
  if (word === undefined) return end({ exitCode: 2, text: parsed.kind === 'exit' ? parsed.text : '' }, output)
  if (parsed.kind === 'exit') return end(parsed, output)
  return end(usageError(program, [describeUnknown(word, group, commands)]), output)
}

function describeUnknown (word: string, group: string | undefined, commands: readonly Command[]): string {
  const prefix = group === undefined ? '' : `${group} `
  // For a mistyped group the first word is what was meant.
  const meant = nearest(word, commands.map(({ name }) => name.slice(prefix.length).split(' ')[0] ?? ''))
  return `"${prefix}${word}" is not a command${meant === null ? '' : `; did you mean ${prefix}${meant}?`}`
}

async function runCommand (command: Command, argv: readonly string[], output: Output): Promise<number> {
  const program = `${PROGRAM} ${command.name}`
  const settings = settingOptions(command)
  const parsed = parseArguments({ ...command, program, options: [...command.options, ...settings] }, argv)
  if (parsed.kind === 'exit') return end(parsed, output)
  const sources: ConfigSources = { flags: Object.fromEntries(settings.map(({ name }) => [name, parsed.values[name]])) }
  const loaded = loadConfig(sources)
  for (const warning of loaded.warnings) output.complain(`warning: ${warning}`)
  if (!loaded.ok) {
    return end(usageError(program, loaded.problems.map(({ setting, message }) => `${setting}: ${message}`)), output)
  }
  await actAsOwner(command, loaded.config, output)
  return await command.run({ ...output, ...parsed, config: loaded.config, sources })
}

/** Root drops its privileges for a directory that belongs to another user. */
async function actAsOwner ({ settings }: Command, { dataDir }: Config, { complain }: Output): Promise<void> {
  if (settings !== 'all' && !settings.includes('dataDir')) return
  const uid = await becomeOwner(dataDir, [process.execPath, WORKER])
  if (uid !== null) {
    complain(`warning: started as root, but the path to DATA_DIR ${dataDir} belongs to user ID ${uid}; ` +
      'continuing as that user')
  }
}

/**
 * Runs the program and sets the exit code of the process.
 *
 * @param argv the words after the program's name
 */
export async function main (argv: readonly string[]): Promise<void> {
  const output = STANDARD_OUTPUT
  // A reader that closes early (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  const command = findCommand(argv)
  try {
    process.exitCode = command === null
      ? withoutCommand(argv, output)
      : await runCommand(command, argv.slice(command.name.split(' ').length), output)
  } catch (error) {
    output.complain(describeFailure(error))
    process.exitCode = 1
  }
}
