/**
 * A Dockerfile without an engine: read, and carried out in folders of this machine as far as that shows that it is right.
 *
 *   FROM … AS name     a folder <root>/<name>; nothing of the base image is there: sh, node and npm are this machine's
 *   WORKDIR, COPY      inside that folder; from the context only what .dockerignore lets through
 *   RUN, CMD, …        with absolute paths of the image led into the folder, and its user replaced by one of this machine
 *
 * It knows the instructions and forms that this project uses, and refuses all others.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir } from 'node:fs/promises'
import { basename, join, posix } from 'node:path'
import { promisify } from 'node:util'

const RUN_TIMEOUT_MS = 120_000
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

export interface Instruction {
  readonly name: string
  /** `--from=build`: from → build. */
  readonly flags: Readonly<Record<string, string>>
  /** The words of an exec form (JSON), else the text as it stands. */
  readonly value: string | readonly string[]
}

export interface Stage {
  readonly image: string
  /** The last one has none. */
  readonly name: string
  readonly instructions: readonly Instruction[]
}

/** Reads the stages; throws where a line is none that it knows. */
export function parseDockerfile (text: string): Stage[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line)).join('\n').replace(/\\\n/g, ' ').split('\n').filter((line) => line.trim() !== '')
  const stages: Array<Stage & { instructions: Instruction[] }> = []
  for (const line of lines) {
    const instruction = parseInstruction(line)
    if (instruction.name === 'FROM') {
      const [, image = '', name = ''] = /^(\S+)(?: AS (\S+))?$/.exec(textOf(instruction)) ?? []
      stages.push({ image, name, instructions: [] })
    } else {
      const stage = stages.at(-1)
      if (stage === undefined) throw new Error(`before the first FROM: ${line}`)
      stage.instructions.push(instruction)
    }
  }
  return stages
}

function parseInstruction (line: string): Instruction {
  const match = /^([A-Z]+)\s+((?:--\S+\s+)*)(.*\S)\s*$/.exec(line)
  if (match === null) throw new Error(`not an instruction: ${line}`)
  const [, name = '', flags = '', rest = ''] = match
  return {
    name,
    flags: Object.fromEntries(flags.trim().split(/\s+/).filter((flag) => flag !== '').map((flag) => flag.slice(2).split('=', 2) as [string, string])),
    value: rest.startsWith('[') ? JSON.parse(rest) as string[] : rest
  }
}

export function textOf ({ name, value }: Instruction): string {
  if (typeof value !== 'string') throw new Error(`${name} is not in the form of a text`)
  return value
}

/** The one instruction of this name. */
export function only ({ instructions }: Stage, name: string): Instruction {
  const found = instructions.filter((instruction) => instruction.name === name)
  if (found[0] === undefined || found.length > 1) throw new Error(`${name} stands ${found.length} times`)
  return found[0]
}

/** The words of a command: `CMD ["a", "b"]`, also behind HEALTHCHECK. */
export function commandOf ({ name, value }: Instruction): readonly string[] {
  const words: unknown = typeof value === 'string' && value.startsWith('CMD ') ? JSON.parse(value.slice(4)) : value
  if (!Array.isArray(words)) throw new Error(`${name} is not in the exec form`)
  return words as string[]
}

/** Variables of ENV, as they stand in the image. */
export function environmentOf (stage: Stage): Record<string, string> {
  return Object.fromEntries(stage.instructions.filter(({ name }) => name === 'ENV').map((instruction) => {
    const [, name = '', value = ''] = /^(\w+)=(\S+)$/.exec(textOf(instruction)) ?? []
    return [name, value]
  }))
}

/** Whether .dockerignore keeps a path out of the context; the last rule that fits counts. */
export function ignoredBy (rules: string): (path: string) => boolean {
  const parsed = rules.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const kept = line.startsWith('!')
    const pattern = (kept ? line.slice(1) : line).split('/').map((part) => part === '**' ? '(?:.*/)?' : part.replace(/[.+^$()|[\]{}]/g, '\\$&').replaceAll('*', '[^/]*') + '/').join('')
    // What lies in a folder shares its lot.
    return { kept, fits: new RegExp(`^${pattern.replace(/\/$/, '')}(?:/|$)`) }
  })
  return (path) => parsed.findLast(({ fits }) => fits.test(path))?.kept === false
}

export interface BuildPlaces {
  /** The folder of the Dockerfile. */
  readonly context: string
  /** Content of .dockerignore. */
  readonly ignore: string
  /** Where the stages' folders are made. */
  readonly root: string
  /** Who stands for the image's users that are not root; null: this process's own user, who cannot give files away. */
  readonly account: { readonly uid: number, readonly gid: number } | null
}

/** What was made of the last stage. */
export class Image {
  constructor (readonly stage: Stage, private readonly places: BuildPlaces, private readonly folder: string) {}

  /** A path of the image on this machine. */
  path (path: string): string {
    return join(this.folder, path)
  }

  /** Text with the image's own absolute paths led into the folder, and its users replaced. */
  localise (text: string): string {
    const { account } = this.places
    const owner = account ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
    return text.replace(/(^|[\s=:"'])\/(?=app\b|data\b)/g, `$1${this.folder}/`).replace(/\bnode:node\b/g, `${owner.uid}:${owner.gid}`)
  }

  /**
   * How a command runs in the image: its folder, variables and user.
   * @param done the instructions that were carried out; USER counts for what comes behind it
   */
  options (variables: Readonly<Record<string, string>> = {}, done: readonly Instruction[] = this.stage.instructions): { readonly cwd: string, readonly env: NodeJS.ProcessEnv, readonly uid?: number, readonly gid?: number } {
    const path = process.env['PATH'] ?? ''
    const own = Object.entries(environmentOf(this.stage)).map(([name, value]) => [name, this.localise(value).replace('$PATH', path)])
    const user = done.some(({ name }) => name === 'USER') ? this.places.account : null
    return {
      cwd: this.path(workdirOf(this.stage)),
      env: { PATH: path, HOME: this.path('/tmp'), ...Object.fromEntries(own) as Record<string, string>, ...variables },
      ...user
    }
  }
}

/** Carries out all stages; gives the last one. @param report told of each step before it runs */
export async function buildImage (stages: readonly Stage[], places: BuildPlaces, report: (step: string) => void): Promise<Image> {
  const ignored = ignoredBy(places.ignore)
  const images = new Map<string, Image>()
  let last: Image | null = null
  for (const stage of stages) {
    const image = new Image(stage, places, join(places.root, stage.name === '' ? 'final' : stage.name))
    await mkdir(image.path(workdirOf(stage)), { recursive: true })
    await mkdir(image.path('/tmp'))
    for (const [index, instruction] of stage.instructions.entries()) {
      report(`${stage.name} ${instruction.name} ${String(instruction.value)}`)
      if (instruction.name === 'COPY') await copy(instruction, image, images, places.context, ignored)
      else if (instruction.name === 'RUN') await run(instruction, image, stage.instructions.slice(0, index))
      else if (!['WORKDIR', 'ENV', 'VOLUME', 'USER', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'CMD'].includes(instruction.name)) throw new Error(`not known: ${instruction.name}`)
    }
    images.set(stage.name, image)
    last = image
  }
  if (last === null) throw new Error('no FROM')
  return last
}

/** WORKDIR, which stands first: what is before it would happen in another folder. */
function workdirOf (stage: Stage): string {
  const [first] = stage.instructions.filter(({ name }) => name !== 'ENV')
  if (first?.name !== 'WORKDIR') throw new Error('WORKDIR comes first, behind ENV alone')
  return textOf(only(stage, 'WORKDIR'))
}

async function copy (instruction: Instruction, image: Image, images: ReadonlyMap<string, Image>, context: string, ignored: (path: string) => boolean): Promise<void> {
  const words = textOf(instruction).split(/\s+/)
  const [sources, target = ''] = [words.slice(0, -1), words.at(-1)]
  const from = instruction.flags['from']
  const other = from === undefined ? null : images.get(from)
  if (other === undefined) throw new Error(`COPY from a stage that is not there: ${String(from)}`)
  const folder = image.path(posix.resolve(workdirOf(image.stage), target))
  for (const source of sources) {
    // Several files need a folder as target, which ends with a slash; a folder's content goes to the target.
    const into = target.endsWith('/') ? join(folder, basename(source)) : folder
    if (other !== null) await cp(other.path(source), into, { recursive: true, verbatimSymlinks: true })
    else await copyFromContext(context, source, into, ignored)
  }
}

async function copyFromContext (context: string, source: string, into: string, ignored: (path: string) => boolean): Promise<void> {
  if (ignored(source)) throw new Error(`${source} is not in the context: .dockerignore keeps it out`)
  await cp(join(context, source), into, { recursive: true, filter: (path) => !ignored(posix.relative(context, path)) })
}

async function run (instruction: Instruction, image: Image, done: readonly Instruction[]): Promise<void> {
  try {
    // Packages that the machine has already need not come over the network again.
    const options = image.options({ npm_config_prefer_offline: 'true', npm_config_cache: process.env['npm_config_cache'] ?? join(process.env['HOME'] ?? '', '.npm') }, done)
    await promisify(execFile)('sh', ['-c', image.localise(textOf(instruction))], { ...options, timeout: RUN_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX })
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string, stderr?: string }
    throw new Error(`RUN ${textOf(instruction)} failed:\n${stdout}\n${stderr}`, { cause })
  }
}

/** Every file below a folder, as paths from there. */
export async function filesBelow (folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => posix.relative(folder, join(entry.parentPath, entry.name)))
}
