/**
 * Typesets terminal sessions as an SVG: node docs/images/terminal.mjs TITLE FILE [TITLE FILE …] > docs/images/demo.svg
 * Each file is a window; a line that begins with "$ " is a command.
 */
import { readFileSync } from 'node:fs'

const [WIDTH, LINE, CHARACTER, SIZE, BAR, MARGIN] = [960, 18, 7.83, 13, 30, 16]
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

function line (text, y) {
  const [tag, prompt] = [`<text x="${MARGIN}" y="${y}"`, text.startsWith('$ ')]
  if (text.trim() === '') return ''
  // A fixed length, because fonts differ in width.
  const length = `textLength="${(text.trimEnd().length * CHARACTER).toFixed(1)}"`
  return `${tag} ${length}${prompt ? ' class="command"' : ''}>${escape(text.trimEnd())}</text>\n`
}

function window (title, file, top) {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const height = BAR + lines.length * LINE + MARGIN
  const dots = ['#ff5f57', '#febc2e', '#28c840']
    .map((fill, index) => `<circle cx="${18 + index * 18}" cy="15" r="5" fill="${fill}"/>`)
  const drawn = `<svg y="${top}" width="${WIDTH}" height="${height}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${dots.join('')}<text x="${WIDTH / 2}" y="20" text-anchor="middle" class="title">${escape(title)}</text>
${lines.map((text, index) => line(text, BAR + 16 + index * LINE)).join('')}</svg>`
  return { drawn, height }
}

const windows = []
let top = 0
for (let index = 2; index < process.argv.length; index += 2) {
  const { drawn, height } = window(process.argv[index], process.argv[index + 1], top)
  windows.push(drawn)
  top += height + MARGIN
}
process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img"
viewBox="0 0 ${WIDTH} ${top - MARGIN}">
<style>
text { font: ${SIZE}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9; white-space: pre }
.command { fill: #7ee787 } .title { fill: #8b949e }
</style>
${windows.join('\n')}
</svg>
`)
