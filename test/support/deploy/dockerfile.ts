/**
 * Carries out what the project's Dockerfile uses without an engine: each stage in a directory, with this machine's sh,
 * node and npm. Paths of the image (/app, /data) are redirected there, and its user is replaced by one of ours.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, symlink } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** Instructions that describe the image and change no files. */
const DESCRIPTIVE = ['WORKDIR', 'ENV', 'VOLUME', 'USER', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'CMD']

interface Step { readonly instruction: string, readonly text: string }
export interface Stage { readonly base: string, readonly name: string, readonly steps: readonly Step[] }
export interface Account { readonly uid: number, readonly gid: number }
interface Run extends Partial<Account> { readonly cwd: string, readonly env: NodeJS.ProcessEnv }

export function parseDockerfile (dockerfile: string): Stage[] {
  return dockerfile.replaceAll(/^#.*\n/gm, '').trim().split(/^(?=FROM )/m).map((lines) => {
    const [from = '', ...rest] = lines.split('\n').filter((line) => line.trim() !== '')
    const [, base = '', name = 'final'] = /^FROM (\S+)(?: AS (\S+))?$/.exec(from) ?? []
    const steps = rest.map((line) => ({ instruction: line.replace(/ .*/, ''), text: line.replace(/^\S+ /, '') }))
    return { base, name, steps }
  })
}

export const textsOf = ({ steps }: Stage, name: string): string[] =>
  steps.filter(({ instruction }) => instruction === name).map(({ text }) => text)

/** The text of an instruction that occurs once. */
export function only (stage: Stage, name: string): string {
  const [text, ...others] = textsOf(stage, name)
  if (text === undefined || others.length > 0) throw new Error(`stage ${stage.name} must have exactly one ${name}`)
  return text
}

export const environmentOf = (stage: Stage): Record<string, string> =>
  Object.fromEntries(textsOf(stage, 'ENV').map((text) => text.split('=', 2) as [string, string]))

/** What a COPY copies, and from which stage; null: from the context. */
export function copied (text: string): { from: string | null, sources: string[], target: string } {
  const [, from = null, words = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(text) ?? []
  return { from, sources: words.split(' ').slice(0, -1), target: words.split(' ').at(-1) ?? '' }
}

export class Image {
  /** @param account takes the place of the image's user; null: this process's user, who cannot give files away */
  constructor (readonly stage: Stage, private readonly directory: string, private readonly account: Account | null) {}

  /** Where a path of the image is on this machine. */
  path (path: string): string { return join(this.directory, resolve(only(this.stage, 'WORKDIR'), path)) }

  /** Redirects the image's paths in a text, and replaces its user. */
  localise (text: string): string {
    const { uid, gid } = this.account ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
    return text.replaceAll(/(^|[\s=:])\/(?=(?:app|data)\b)/g, `$1${this.directory}/`)
      .replaceAll('node:node', `${uid}:${gid}`)
  }

  /** How a command runs in the image: working directory, variables and user. */
  options (variables: Record<string, string>, user = this.account): Run {
    const path = process.env['PATH'] ?? ''
    const own = Object.entries(environmentOf(this.stage))
      .map(([name, value]): [string, string] => [name, this.localise(value).replace('$PATH', path)])
    const env = { PATH: path, HOME: this.path('/tmp'), ...Object.fromEntries(own), ...variables }
    return { cwd: this.path('.'), env, ...user }
  }
}

/** Installs all packages, those of development too: `installed` is linked instead. */
const INSTALL_ALL = 'npm ci --ignore-scripts'

/** Carries out the stages in directories below `root`; returns the images. */
export async function build (
  stages: Stage[], context: string, root: string, user: Account | null, installed: string
): Promise<Image[]> {
  const images = stages.map((stage) => new Image(stage, join(root, stage.name), user))
  // Packages that this machine already has need not be downloaded again.
  const cache = process.env['npm_config_cache'] ?? join(process.env['HOME'] ?? '', '.npm')
  for (const image of images) {
    for (const path of ['.', '/tmp']) await mkdir(image.path(path), { recursive: true })
    for (const { instruction, text } of image.stage.steps) {
      if (instruction === 'COPY') {
        const { from, sources, target } = copied(text)
        const other = images.find(({ stage }) => stage.name === from)
        for (const source of sources) {
          const into = image.path(target.endsWith('/') ? target + basename(source) : target)
          await cp(other?.path(source) ?? join(context, source), into, { recursive: true, verbatimSymlinks: true })
        }
      } else if (instruction === 'RUN' && text === INSTALL_ALL) {
        await symlink(installed, image.path('node_modules'))
      } else if (instruction === 'RUN') {
        const options = image.options({ npm_config_prefer_offline: 'true', npm_config_cache: cache }, null)
        await promisify(execFile)('sh', ['-c', image.localise(text)], { ...options, timeout: 120_000 })
      } else if (!DESCRIPTIVE.includes(instruction)) throw new Error(`unsupported instruction: ${instruction}`)
    }
  }
  return images
}
