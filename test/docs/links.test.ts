/**
 * Links in the documentation lead somewhere, every page is reachable from README.md, and each source file that is named
 * exists and is the only one of that name.
 */
import t from 'tap'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

interface Link { readonly page: string, readonly path: string, readonly anchor: string }

const withoutFences = (text: string): string => text.replaceAll(/^```[^]*?^```/gm, '')

/** Relative links and images; a link to a heading of the same page has the page as its path. */
function linksOf (page: string, text: string): Link[] {
  const prose = withoutFences(text).replaceAll(/`[^`\n]*`/g, 'code')
  return [...prose.matchAll(/\]\(([^()\s]+)\)|\bsrc="([^"]+)"/g)].map(([, link = '', source = '']) => link || source)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', anchor = ''] = decodeURIComponent(target).split('#', 2)
      return { page, path: path === '' ? page : normalize(join(dirname(page), path)), anchor }
    })
}

/** The anchors that GitHub gives to headings. */
function anchorsOf (text: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of withoutFences(text).matchAll(/^#{1,6} +(.+?)\s*$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = plain.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
    let unique = anchor
    for (let repeated = 1; anchors.has(unique); repeated++) unique = `${anchor}-${repeated}`
    anchors.add(unique)
  }
  return anchors
}

function broken (link: Link, read: (path: string) => string | null): string | null {
  const text = read(link.path)
  if (text === null) return `${link.page}: no file ${link.path}`
  const isThere = link.anchor === '' || anchorsOf(text).has(link.anchor)
  return isThere ? null : `${link.page}: no heading #${link.anchor} in ${link.path}`
}

function read (path: string): string | null {
  const file = join(ROOT, path)
  if (!existsSync(file)) return null
  return statSync(file).isFile() ? readFileSync(file, 'utf8') : ''
}

const DOCS = readdirSync(join(ROOT, 'docs'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => normalize(join(entry.parentPath, entry.name)).slice(ROOT.length))
const PAGES = [
  'README.md', 'CHANGELOG.md', 'SECURITY.md', 'protocol/SPEC.md', ...DOCS.filter((file) => file.endsWith('.md'))
]

t.test('what a link is, and when it is broken', (t) => {
  const pages: Record<string, string> = {
    'README.md': '# A\n## B: `c`, d?\n## A\n[1](docs/x.md#e--f) ![2](a.svg) [3](#b-c-d) [4](#a-1) ' +
      '[5](https://x.y/z) `[6](7)`\n```\n# G\n[8](9)\n```\n',
    'docs/x.md': '# E & F\n[10](../README.md#g) [11](#e)\n'
  }
  const links = Object.entries(pages).flatMap(([page, text]) => linksOf(page, text))
  t.same(links.map(({ path, anchor }) => `${path}#${anchor}`), [
    'docs/x.md#e--f', 'a.svg#', 'README.md#b-c-d', 'README.md#a-1', 'README.md#g', 'docs/x.md#e'
  ])
  t.same(links.map((link) => broken(link, (path) => pages[path] ?? null)).filter((problem) => problem !== null), [
    'README.md: no file a.svg', 'docs/x.md: no heading #g in README.md', 'docs/x.md: no heading #e in docs/x.md'
  ])
  t.end()
})

t.test('every relative link and anchor exists', (t) => {
  const links = PAGES.flatMap((page) => linksOf(page, read(page) ?? ''))
  t.ok(links.length > 50, 'there are links')
  t.same(links.map((link) => broken(link, read)).filter((problem) => problem !== null), [])
  t.end()
})

t.test('every file of the documentation is reachable from README.md', (t) => {
  const reached = new Set(['README.md'])
  for (const page of reached) {
    if (page.endsWith('.md')) for (const { path } of linksOf(page, read(page) ?? '')) reached.add(path)
  }
  t.same([...PAGES, ...DOCS].filter((file) => !reached.has(file)), [])
  t.end()
})

t.test('each source file that the documentation names exists once', (t) => {
  const sources = ['lib', 'protocol', 'page', 'grafana', 'benchmarks', 'test', 'docs', 'deploy'].flatMap((room) =>
    readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' }).map((path) => `/${room}/${path}`))
  const meant = (name: string): number => sources.filter((path) => path.endsWith(`/${name}`) &&
    (!/^.(test|benchmarks)\//.test(path) || /^(test|benchmarks)\//.test(name))).length
  // CHANGELOG.md speaks of what was.
  const names = PAGES.filter((page) => page !== 'CHANGELOG.md').flatMap((page) =>
    [...(read(page) ?? '').matchAll(/`([\w./-]+\.(?:ts|tsx|mjs))`/g)].map(([, name = '']) => ({ page, name })))
  t.ok(names.length > 100, 'files are named')
  const unclear = names.filter(({ name }) => meant(name) !== 1)
  t.same(unclear.map(({ page, name }) => `${page}: ${name}, ${meant(name)} files`), [])
  t.end()
})
