/**
 * A line chart over time with limit lines and marks. uPlot draws on a canvas and knows nothing of themes, so the chart
 * is made anew when the colour scheme changes; otherwise it lives as long as its series, and only its data change.
 */
import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import Plot, { type default as uPlot } from 'uplot'
import type { LimitLine, Severity } from '../model/limits.js'
import { clock, dateTime, short } from '../model/format.js'

export interface ChartSeries {
  readonly label: string
  /** A custom property of the theme: '--series-1'. */
  readonly color: string
  /**
   * band: the area between two series (minimum and maximum around a mean); step: a value holds until the next one.
   */
  readonly role?: 'line' | 'band' | 'area' | 'step'
}

export interface ChartMark {
  /** Seconds. */
  readonly time: number
  readonly value: number
  readonly severity: Severity
}

/** A state that is out of order. */
export interface ChartZone {
  /** Its index in `names`. */
  readonly value: number
  readonly severity: Severity
}

export interface ChartProps {
  /** What the chart shows, for screen readers. */
  readonly label: string
  readonly series: readonly ChartSeries[]
  /** Times in seconds, then the values of each series. */
  readonly data: uPlot.AlignedData
  /** Seconds. */
  readonly from: number
  readonly to: number
  readonly limits?: readonly LimitLine[]
  /** Values are indexes of these: states, one above the other. */
  readonly names?: readonly string[]
  readonly zones?: readonly ChartZone[]
  /** Newest first. */
  readonly marks?: readonly ChartMark[]
  /** Includes zero in the scale. */
  readonly fromZero?: boolean
  /** Charts with the same key share their cursor. */
  readonly sync?: string
  readonly format?: (value: number) => string
  /** The index under the cursor; null: the cursor has left. */
  readonly onCursor?: (index: number | null) => void
}

/** Limits further away than this many times the span of the values stay outside the chart. */
const LIMIT_SPANS_MAX = 8
const DAY_S = 86_400
/** More states than this: only those that occur, and what lies between them. */
const NAMES_MAX = 12
/** Of a name beside the axis. */
const NAME_CHARACTERS_MAX = 14
const WHOLE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200]
/** Wide enough for most numbers, so that charts below one another are aligned. */
const AXIS_EMS_MIN = 4.2
/** Time labels begin this far from the left edge. */
const LABEL_EMS_FROM_EDGE = 1.5
/** Marks closer to the one before are left out, in CSS pixels. */
const MARK_DISTANCE_MIN = 4

export function Chart (props: ChartProps): JSX.Element {
  const holder = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props
  const scheme = useScheme()
  const shape = props.series.map(({ label, color, role }) => `${label}|${color}|${role ?? ''}`).join('||')

  useLayoutEffect(() => {
    const element = holder.current
    if (element === null) return
    const made = new Plot(optionsOf(element, latest), latest.current.data, element)
    plot.current = made
    const observer = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: element.clientHeight })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [shape, scheme, props.sync, props.names])

  useEffect(() => {
    plot.current?.setData(props.data, true)
  }, [props.data, props.from, props.to, props.limits, props.marks, props.zones])

  return <div class='chart' role='img' aria-label={props.label} ref={holder} />
}

/** Changes with the user's colour scheme. */
function useScheme (): string {
  const dark = useRef(matchMedia('(prefers-color-scheme: dark)'))
  const [scheme, setScheme] = useState(dark.current.matches)
  useEffect(() => {
    const query = dark.current
    const change = (): void => setScheme(query.matches)
    query.addEventListener('change', change)
    return () => query.removeEventListener('change', change)
  }, [])
  return scheme ? 'dark' : 'light'
}

type Latest = { readonly current: ChartProps }
/** The colour of a custom property. */
type Palette = (name: string) => string

function optionsOf (element: HTMLElement, latest: Latest): uPlot.Options {
  const style = getComputedStyle(element)
  const palette: Palette = (name) => style.getPropertyValue(name).trim()
  const { series, sync, names } = latest.current
  const format = names === undefined ? latest.current.format ?? short : (index: number) => nameAt(names, index)
  const fontSize = parseFloat(style.fontSize)
  const font = `${fontSize}px ${style.fontFamily}`
  const grid = { stroke: palette('--grid'), width: 1 }
  const axis = { stroke: palette('--muted'), font, grid, ticks: { show: false }, border: { show: false } }
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    legend: { show: false },
    cursor: {
      drag: { x: false, y: false },
      points: { size: fontSize * 0.6 },
      ...sync === undefined ? {} : { sync: { key: sync, setSeries: false } }
    },
    padding: [fontSize * 0.7, fontSize * 1.7, 0, 0],
    scales: {
      x: { time: true, range: () => [latest.current.from, latest.current.to] },
      y: { range: (_plot, min, max) => rangeOf(latest.current, min, max) }
    },
    axes: [
      {
        ...axis,
        size: fontSize * 1.9,
        gap: fontSize * 0.3,
        space: fontSize * 7,
        values: (plot, times) => timeLabels(times, latest.current, plot.posToVal(fontSize * LABEL_EMS_FROM_EDGE, 'x'))
      },
      {
        ...axis,
        size: (_plot, values) => axisSize(values, font, fontSize),
        gap: fontSize * 0.4,
        space: fontSize * (names === undefined ? 2.6 : 1.3),
        ...names === undefined ? {} : { incrs: WHOLE_STEPS },
        values: (_plot, values) => values.map((value) => format(value))
      }
    ],
    series: [{}, ...series.map((each) => seriesOf(each, palette))],
    bands: bandsOf(series, palette),
    hooks: {
      draw: [(plot) => {
        drawZones(plot, latest.current, palette)
        drawLimits(plot, latest.current, palette, font)
        drawMarks(plot, latest.current, palette)
      }],
      setCursor: [({ cursor: { idx } }) => latest.current.onCursor?.(idx ?? null)]
    }
  }
}

const STEPPED = Plot.paths.stepped === undefined ? {} : { paths: Plot.paths.stepped({ align: 1 }) }

function seriesOf ({ label, color, role = 'line' }: ChartSeries, palette: Palette): uPlot.Series {
  const stroke = palette(color)
  const points = { show: false }
  if (role === 'band') return { label, points, width: 0, stroke: 'transparent' }
  if (role === 'step') return { label, points, stroke, width: 2, ...STEPPED }
  const fill = role === 'area' ? { fill: withAlpha(stroke, '2e') } : {}
  return { label, points, stroke, width: 1.5, ...fill, pxAlign: false }
}

/** Two consecutive band series, upper first, are the edges of an area. */
function bandsOf (series: readonly ChartSeries[], palette: Palette): uPlot.Band[] {
  return series.flatMap(({ role, color }, index) => {
    if (role !== 'band' || series[index + 1]?.role !== 'band') return []
    return [{ series: [index + 1, index + 2] as [number, number], fill: withAlpha(palette(color), '33') }]
  })
}

/** @param color #rrggbb, as all colours of the theme that charts use */
function withAlpha (color: string, alpha: string): string {
  return color + alpha
}

function axisSize (values: readonly string[] | null, font: string, fontSize: number): number {
  const context = measuring()
  context.font = font
  const widest = Math.max(0, ...(values ?? []).map((text) => context.measureText(text).width))
  return Math.max(fontSize * AXIS_EMS_MIN, widest + fontSize * 0.9)
}

let canvas: CanvasRenderingContext2D | null = null

function measuring (): CanvasRenderingContext2D {
  canvas ??= document.createElement('canvas').getContext('2d')
  if (canvas === null) throw new Error('this browser has no canvas')
  return canvas
}

/** Near the left edge a label would run into those of the other axis. */
function timeLabels (times: readonly number[], { from, to }: ChartProps, edge: number): Array<string | null> {
  const step = (times[1] ?? 0) - (times[0] ?? 0)
  return times.map((time) => {
    if (time < edge) return null
    const milliseconds = time * 1000
    if (step >= DAY_S) return dateTime(milliseconds).slice(5, 10)
    if (to - from > DAY_S && time % DAY_S === 0) return dateTime(milliseconds).slice(5, 10)
    return step < 60 ? clock(milliseconds) : clock(milliseconds).slice(0, 5)
  })
}

function nameAt (names: readonly string[], index: number): string {
  const name = names[index] ?? ''
  return name.length > NAME_CHARACTERS_MAX ? `${name.slice(0, NAME_CHARACTERS_MAX - 1)}…` : name
}

function rangeOf (
  { limits = [], marks = [], fromZero = false, names }: ChartProps, min: number | null, max: number | null
): [number, number] {
  if (names !== undefined) {
    const isLong = names.length > NAMES_MAX
    return [(isLong ? min ?? 0 : 0) - 0.5, (isLong ? max ?? 0 : names.length - 1) + 0.5]
  }
  const values = [...min === null || max === null ? [] : [min, max], ...marks.map(({ value }) => value)]
  if (fromZero) values.push(0)
  const span = values.length === 0 ? Infinity : Math.max(...values) - Math.min(...values)
  const scale = Math.max(span, Math.abs(values[0] ?? 0) * 0.05) * LIMIT_SPANS_MAX
  const [low, high] = [Math.min(...values), Math.max(...values)]
  for (const { value } of limits) {
    if (values.length === 0 || (value > low - scale && value < high + scale)) values.push(value)
  }
  if (values.length === 0) return [0, 1]
  const [bottom, top] = [Math.min(...values), Math.max(...values)]
  const margin = top === bottom ? Math.max(1, Math.abs(top) * 0.1) : (top - bottom) * 0.08
  return [fromZero && bottom === 0 ? 0 : bottom - margin, top + margin]
}

function drawZones (plot: uPlot, { zones = [] }: ChartProps, palette: Palette): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  for (const { value, severity } of zones) {
    const [top, bottom] = [plot.valToPos(value + 0.5, 'y', true), plot.valToPos(value - 0.5, 'y', true)]
    ctx.fillStyle = withAlpha(palette(`--${severity}`), '1f')
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top)
  }
  ctx.restore()
}

function drawLimits (plot: uPlot, { limits = [], format = short }: ChartProps, palette: Palette, font: string): void {
  const { ctx, bbox } = plot
  const ratio = Plot.pxRatio
  const { min = 0, max = 0 } = plot.scales['y'] ?? {}
  ctx.save()
  ctx.font = font.replace(/^[\d.]+/, (size) => String(Number(size) * ratio * 0.92))
  ctx.textAlign = 'right'
  for (const { side, severity, value } of limits) {
    if (value < min || value > max) continue
    const y = Math.round(plot.valToPos(value, 'y', true))
    const color = palette(`--${severity}`)
    ctx.strokeStyle = color
    ctx.fillStyle = color
    ctx.lineWidth = ratio
    ctx.setLineDash(severity === 'critical' ? [] : [5 * ratio, 4 * ratio])
    ctx.beginPath()
    ctx.moveTo(bbox.left, y)
    ctx.lineTo(bbox.left + bbox.width, y)
    ctx.stroke()
    ctx.textBaseline = side === 'low' ? 'bottom' : 'top'
    const [word, offset] = side === 'low' ? ['below', -3] : ['above', 4]
    ctx.fillText(`${severity} ${word} ${format(value)}`, bbox.left + bbox.width - 4 * ratio, y + offset * ratio)
  }
  ctx.restore()
}

/** A diamond for critical, a triangle for warning, as in the icons. */
function drawMarks (plot: uPlot, { marks = [], from, to }: ChartProps, palette: Palette): void {
  const { ctx } = plot
  const size = 4.5 * Plot.pxRatio
  ctx.save()
  ctx.strokeStyle = palette('--panel')
  ctx.lineWidth = Plot.pxRatio
  const drawn: Record<Severity, number> = { critical: -Infinity, warning: -Infinity }
  for (const { time, value, severity } of marks.toReversed()) {
    const [x, y] = [plot.valToPos(time, 'x', true), plot.valToPos(value, 'y', true)]
    if (time < from || time > to || x < drawn[severity] + MARK_DISTANCE_MIN * Plot.pxRatio) continue
    drawn[severity] = x
    ctx.fillStyle = palette(`--${severity}`)
    ctx.beginPath()
    if (severity === 'critical') {
      for (const [dx, dy] of [[0, -size], [size, 0], [0, size], [-size, 0]] as const) ctx.lineTo(x + dx, y + dy)
    } else {
      for (const [dx, dy] of [[0, -size], [size, size], [-size, size]] as const) ctx.lineTo(x + dx, y + dy)
    }
    ctx.closePath()
    ctx.fill()
    ctx.stroke()
  }
  ctx.restore()
}
