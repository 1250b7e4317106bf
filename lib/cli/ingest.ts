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
import { nearest } from '../config/setting-types.js'
import { parseArguments, usageError } from './arguments.js'
import { describeFailure } from './failure.js'
import { columns } from './help.js'
import { end, STANDARD_OUTPUT, tolerateLostReaders, type Output } from './output.js'
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
 * All commands by name, loaded on demand: most need little of what the server needs. To add one, add a file to
 * commands/ and an entry here. A two-word name makes the first word a group.
 */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map<string, () => Promise<Command>>([
  ['start', async () => (await import('./commands/start.js')).start],
  ['reload', async () => (await import('./commands/reload.js')).reload],
  ['restart', async () => (await import('./commands/restart.js')).restart],
  ['demo', async () => (await import('./demo.js')).demo],
  ['health', async () => (await import('./commands/health.js')).health],
  ['migrate', async () => (await import('./commands/migrate.js')).migrate],
  ['limits', async () => (await import('./commands/limits.js')).limits],
  ['catalogue', async () => (await import('./commands/catalogue/catalogue.js')).catalogue],
  ['grafana', async () => (await import('./commands/catalogue/grafana.js')).grafana],
  ['config', async () => (await import('./commands/config.js')).config],
  ['database-url', async () => (await import('./commands/database-url.js')).databaseUrl],
  ['spool inspect', async () => (await import('./commands/spool/spool-inspect.js')).spoolInspect],
  ['spool drain', async () => (await import('./commands/spool/spool-drain.js')).spoolDrain],
  ['spool resolve', async () => (await import('./commands/spool/spool-resolve.js')).spoolResolve],
  ['quarantine list', async () => (await import('./commands/quarantine/quarantine-list.js')).quarantineList],
  ['quarantine retry', async () => (await import('./commands/quarantine/quarantine-retry.js')).quarantineRetry],
  ['quarantine drop', async () => (await import('./commands/quarantine/quarantine-drop.js')).quarantineDrop],
  ['rollups fill', async () => (await import('./commands/rollups-fill.js')).rollupsFill],
  ['token create', async () => (await import('./commands/token-create.js')).tokenCreate],
  ['udp-key create', async () => (await import('./commands/udp-key-create.js')).udpKeyCreate]
])

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
async function findCommand (argv: readonly string[]): Promise<Command | null> {
  for (const [name, load] of COMMANDS) {
    if (name.split(' ').every((word, index) => word === argv[index])) return await load()
  }
  return null
}

/** Help, version, or an error for a command line that starts with no command. */
async function withoutCommand (
  { name, others }: CommandProgram, argv: readonly string[], output: Output
): Promise<number> {
  const commands = await Promise.all([...COMMANDS.values()].map(async (load) => await load()))
  const all = [...commands.map(({ name, summary }) => [name, summary] as const), ...others]
  const group = all.some(([name]) => name.startsWith(`${argv[0] ?? ''} `)) ? argv[0] : undefined
  const [program, listed, rest] = group === undefined
    ? [name, all, argv]
    : [`${name} ${group}`, all.filter(([name]) => name.startsWith(`${group} `)), argv.slice(1)]
  const [word] = rest
  const parsed = parseArguments({
    program,
    summary: 'OrbitStream ingests satellite telemetry over the network and stores it in PostgreSQL.',
    options: [],
    positionals: { usage: '<command>', min: 0, max: Infinity },
    epilogue: `Commands:\n${columns(listed.map(([name, summary]) => [`  ${name}`, summary]))}\n\n` +
      `Help for a command: ${program} <command> --help`
  }, word === undefined ? ['--help'] : [word])
  // Not a success: a script whose command variable is empty must notice.
  if (word === undefined) return end({ exitCode: 2, text: parsed.kind === 'exit' ? parsed.text : '' }, output)
  if (parsed.kind === 'exit') return end(parsed, output)
  return end(usageError(program, [describeUnknown(word, group, listed.map(([name]) => name))]), output)
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
  tolerateLostReaders()
  try {
    const command = await findCommand(argv)
    process.exitCode = command === null
      ? await withoutCommand(program, argv, output)
      : await runCommand(command, program.name, argv.slice(command.name.split(' ').length), output)
  } catch (error) {
    output.complain(describeFailure(error))
    process.exitCode = 1
  }
}
