/** Charts as SVG text: horizontal bars, simple and stacked, and percentiles on a logarithmic axis. */

const WIDTH = 960
const LABEL_WIDTH = 340
const ROW_HEIGHT = 24
const BAR_HEIGHT = 15
const VALUE_WIDTH = 110
const PLOT_WIDTH = WIDTH - LABEL_WIDTH - VALUE_WIDTH
const PALETTE = ['#2f6f9f', '#e08e45', '#5a9e6f', '#b5495b', '#8072ac', '#7a7a7a']

export function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

export function color (position: number): string {
  return PALETTE[position % PALETTE.length] ?? '#000'
}

function svg (rows: number, body: readonly string[]): string {
  const height = rows * ROW_HEIGHT + 8
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">${body.join('')}</svg>`
}

function label (row: number, text: string): string {
  return `<text x="${LABEL_WIDTH - 8}" y="${row * ROW_HEIGHT + 16}" text-anchor="end">${escape(text)}</text>`
}

function bar (row: number, x: number, width: number, fill: string, title: string): string {
  return `<rect x="${(LABEL_WIDTH + x).toFixed(1)}" y="${row * ROW_HEIGHT + 4}" ` +
    `width="${Math.max(0, width).toFixed(1)}" height="${BAR_HEIGHT}" fill="${fill}">` +
    `<title>${escape(title)}</title></rect>`
}

function value (row: number, x: number, text: string): string {
  return `<text x="${(LABEL_WIDTH + x + 6).toFixed(1)}" y="${row * ROW_HEIGHT + 16}" ` +
    `class="value">${escape(text)}</text>`
}

export interface Bar {
  readonly label: string
  readonly value: number
  readonly text: string
  /** Lowest and highest run. */
  readonly low?: number
  readonly high?: number
  readonly color: string
}

/** Bars from zero, with a line from the lowest to the highest run. */
export function barChart (bars: readonly Bar[]): string {
  const largest = Math.max(...bars.map((one) => Math.max(one.value, one.high ?? 0)))
  const scale = largest > 0 ? PLOT_WIDTH / largest : 0
  return svg(bars.length, bars.map((one, row) => {
    const y = row * ROW_HEIGHT + 4 + BAR_HEIGHT / 2
    const range = one.low === undefined || one.high === undefined || one.low === one.high
      ? ''
      : `<line x1="${(LABEL_WIDTH + one.low * scale).toFixed(1)}" ` +
        `x2="${(LABEL_WIDTH + one.high * scale).toFixed(1)}" y1="${y}" y2="${y}" stroke="#222"/>`
    return label(row, one.label) + bar(row, 0, one.value * scale, one.color, `${one.label}: ${one.text}`) + range +
      value(row, Math.max(one.value, one.high ?? 0) * scale, one.text)
  }))
}

export interface Stack {
  readonly label: string
  readonly parts: ReadonlyArray<{ readonly name: string, readonly value: number, readonly color: string }>
  readonly text: string
}

export function stackChart (stacks: readonly Stack[]): string {
  const totals = stacks.map(({ parts }) => parts.reduce((sum, part) => sum + part.value, 0))
  const largest = Math.max(...totals)
  const scale = largest > 0 ? PLOT_WIDTH / largest : 0
  return svg(stacks.length, stacks.map((stack, row) => {
    let x = 0
    const parts = stack.parts.map((part) => {
      const width = part.value * scale
      const drawn = bar(row, x, width, part.color, `${part.name}: ${part.value.toFixed(2)}`)
      x += width
      return drawn
    })
    return label(row, stack.label) + parts.join('') + value(row, x, stack.text)
  }))
}

export interface Marks {
  readonly label: string
  readonly marks: ReadonlyArray<{ readonly name: string, readonly value: number, readonly color: string }>
}

/** Marks on a logarithmic axis of milliseconds. */
export function markChart (rows: readonly Marks[]): string {
  const values = rows.flatMap(({ marks }) => marks.map((mark) => mark.value)).filter((one) => one > 0)
  const low = Math.floor(Math.log10(Math.min(...values, 1)))
  const high = Math.ceil(Math.log10(Math.max(...values, 10)))
  const place = (one: number): number =>
    (Math.log10(Math.max(one, 10 ** low)) - low) / Math.max(1, high - low) * PLOT_WIDTH
  const decades = Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step))
  const bottom = rows.length * ROW_HEIGHT
  const grid = decades.map((decade) => {
    const x = (LABEL_WIDTH + place(decade)).toFixed(1)
    return `<line x1="${x}" x2="${x}" y1="0" y2="${bottom}" stroke="#ddd"/><text x="${x}" y="${bottom + 16}" ` +
      `text-anchor="middle">${decade} ms</text>`
  })
  const drawn = rows.map(({ label: text, marks }, row) => label(row, text) + marks.map((mark) =>
    `<circle cx="${(LABEL_WIDTH + place(mark.value)).toFixed(1)}" cy="${row * ROW_HEIGHT + 12}" r="5" ` +
      `fill="${mark.color}"><title>${escape(`${mark.name}: ${mark.value.toFixed(2)} ms`)}</title></circle>`).join(''))
  return svg(rows.length + 1, [...grid, ...drawn])
}

export function legend (entries: ReadonlyArray<{ readonly name: string, readonly color: string }>): string {
  const items = entries.map(({ name, color: fill }) => `<span><i style="background:${fill}"></i>${escape(name)}</span>`)
  return `<p class="legend">${items.join('')}</p>`
}
