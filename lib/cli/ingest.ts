/**
 * The server's commands: finds the one asked for, reads its command line and configuration, and runs it.
 *
 * The programs orbitstream-ingest and orbitstream share them.
 *
 * Exit codes: 0 success, 1 failure, 2 invalid usage.
 */
import { fileURLToPath } from 'node:url'
import { CONFIG_FILE_VARIABLE, readConfigFile, type ReadConfigFile } from '../config/config-file.js'
import { describeSettings, loadConfig } from '../config/config.js'
import { becomeOwner } from '../host/owner.js'
import { nearest } from '../config/value-types.js'
import { parseArguments, usageError } from './arguments.js'
import { catalogue } from './commands/catalogue.js'
import { config } from './commands/config.js'
import { databaseUrl } from './commands/database-url.js'
import { health } from './commands/health.js'
import { limits } from './commands/limits.js'
import { migrate } from './commands/migrate.js'
import { quarantineDrop } from './commands/quarantine/quarantine-drop.js'
import { quarantineList } from './commands/quarantine/quarantine-list.js'
import { quarantineRetry } from './commands/quarantine/quarantine-retry.js'
import { reload } from './commands/reload.js'
import { restart } from './commands/restart.js'
import { rollupsFill } from './commands/rollups-fill.js'
import { spoolDrain } from './commands/spool/spool-drain.js'
import { spoolInspect } from './commands/spool/spool-inspect.js'
import { spoolResolve } from './commands/spool/spool-resolve.js'
import { start } from './commands/start.js'
import { tokenCreate } from './commands/token-create.js'
import { udpKeyCreate } from './commands/udp-key-create.js'
import { demo } from './demo.js'
import { describeFailure } from './failure.js'
import { columns } from './help.js'
import { end, STANDARD_OUTPUT, type Output } from './output.js'
import type { ConfigSources } from '../config/config.js'
import type { Config } from '../config/settings.js'
import type { Command } from './command.js'
import type { Option } from './options.js'

const WORKER = fileURLToPath(new URL('../worker/worker.js', import.meta.url))

/** A program that runs them. */
export interface CommandProgram {
  /** As typed. */
  readonly name: string
  /** Names and summaries of its further commands, for its help. */
  readonly others: ReadonlyArray<readonly [string, string]>
}

const INGEST: CommandProgram = { name: 'orbitstream-ingest', others: [] }

/**
 * All commands. To add one, add a file to commands/ and an entry here. A two-word name makes the first word a group.
 */
const COMMANDS: readonly Command[] = [
  start, reload, restart, demo, health, migrate, limits, catalogue, config, databaseUrl, spoolInspect, spoolDrain,
  spoolResolve, quarantineList, quarantineRetry, quarantineDrop, rollupsFill, tokenCreate,
  udpKeyCreate
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

const CONFIG_OPTION = {
  name: 'config',
  type: 'string',
  placeholder: 'file',
  group: 'Settings',
  help: 'YAML file of settings; `config --example` prints one.',
  note: `variable: ${CONFIG_FILE_VARIABLE}`
} as const satisfies Option

/** Reads the configuration file that the command line or the environment names. Null: none. */
async function readFileOf (given: unknown): Promise<ReadConfigFile | null> {
  const path = typeof given === 'string' ? given : process.env[CONFIG_FILE_VARIABLE] ?? ''
  return path === '' ? null : await readConfigFile(path)
}

/** The command that a command line starts with, or null. */
function findCommand (argv: readonly string[]): Command | null {
  return COMMANDS.find(({ name }) => name.split(' ').every((word, index) => word === argv[index])) ?? null
}

/** Help, version, or an error for a command line that starts with no command. */
function withoutCommand ({ name, others }: CommandProgram, argv: readonly string[], output: Output): number {
  const all = [...COMMANDS.map(({ name, summary }) => [name, summary] as const), ...others]
  const group = all.some(([name]) => name.startsWith(`${argv[0] ?? ''} `)) ? argv[0] : undefined
  const [program, commands, rest] = group === undefined
    ? [name, all, argv]
    : [`${name} ${group}`, all.filter(([name]) => name.startsWith(`${group} `)), argv.slice(1)]
  const [word] = rest
  const parsed = parseArguments({
    program,
    summary: 'OrbitStream ingests satellite telemetry over the network and stores it in PostgreSQL.',
    options: [],
    positionals: { usage: '<command>', min: 0, max: Infinity },
    epilogue: `Commands:\n${columns(commands.map(([name, summary]) => [`  ${name}`, summary]))}\n\n` +
      `Help for a command: ${program} <command> --help`
  }, word === undefined ? ['--help'] : [word])
  // Not a success: a script whose command variable is empty must notice.
  if (word === undefined) return end({ exitCode: 2, text: parsed.kind === 'exit' ? parsed.text : '' }, output)
  if (parsed.kind === 'exit') return end(parsed, output)
  return end(usageError(program, [describeUnknown(word, group, commands.map(([name]) => name))]), output)
}

function describeUnknown (word: string, group: string | undefined, commands: readonly string[]): string {
  const prefix = group === undefined ? '' : `${group} `
  // For a mistyped group the first word is what was meant.
  const meant = nearest(word, commands.map((name) => name.slice(prefix.length).split(' ')[0] ?? ''))
  return `"${prefix}${word}" is not a command${meant === null ? '' : `; did you mean ${prefix}${meant}?`}`
}

async function runCommand (command: Command, name: string, argv: readonly string[], output: Output): Promise<number> {
  const program = `${name} ${command.name}`
  const settings = settingOptions(command)
  const configOptions = settings.length === 0 ? [] : [CONFIG_OPTION, ...settings]
  const parsed = parseArguments({ ...command, program, options: [...command.options, ...configOptions] }, argv)
  if (parsed.kind === 'exit') return end(parsed, output)
  const read = settings.length === 0 ? null : await readFileOf(parsed.values[CONFIG_OPTION.name])
  if (read?.ok === false) return end(usageError(program, read.problems), output)
  for (const warning of read?.warnings ?? []) output.complain(`warning: ${warning}`)
  const sources: ConfigSources = {
    flags: Object.fromEntries(settings.map(({ name }) => [name, parsed.values[name]])),
    ...(read === null ? {} : { file: read.file })
  }
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
export async function main (argv: readonly string[], program: CommandProgram = INGEST): Promise<void> {
  const output = STANDARD_OUTPUT
  // A reader that closes early (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  const command = findCommand(argv)
  try {
    process.exitCode = command === null
      ? withoutCommand(program, argv, output)
      : await runCommand(command, program.name, argv.slice(command.name.split(' ').length), output)
  } catch (error) {
    output.complain(describeFailure(error))
    process.exitCode = 1
  }
}
