/** The look of all panels, in one place. */
import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as stat from '@grafana/grafana-foundation-sdk/stat'
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline'
import * as table from '@grafana/grafana-foundation-sdk/table'
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { POSTGRES } from './sources.js'
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common'
import type { Metric } from '../../protocol/catalogue.js'
import { ValueType } from '../../protocol/value-types.js'

export const UID = {
  fleet: 'orbitstream-fleet',
  satellite: 'orbitstream-satellite',
  ingest: 'orbitstream-ingest'
} as const

export const COLOUR = {
  ok: 'green',
  warning: 'orange',
  critical: 'red',
  quiet: 'text',
  main: 'blue',
  band: 'light-blue'
} as const

/** Thresholds of a colour scale: green below the first. */
export interface Scale { readonly warning?: number, readonly critical?: number }

interface Common {
  /** Unique in its dashboard, and permanent: links refer to it. */
  readonly id: number
  readonly title: string
  /** What it shows, and what it means when it looks wrong. */
  readonly description: string
  readonly width: number
  readonly height: number
  readonly unit?: string
  readonly decimals?: number
  /** In place of "No data". */
  readonly none?: string
  readonly source?: DataSourceRef
}

type PanelBuilder = stat.PanelBuilder | statetimeline.PanelBuilder | table.PanelBuilder | timeseries.PanelBuilder

function described<T extends PanelBuilder> (
  builder: T,
  { id, title, description, width, height, unit, decimals, none, source = POSTGRES }: Common
): T {
  builder.id(id).title(title).description(description).span(width).height(height).datasource(source).noValue(none ??
    'No data in this time range')
  if (unit !== undefined) builder.unit(unit)
  if (decimals !== undefined) builder.decimals(decimals)
  return builder
}

function thresholds ({ warning, critical }: Scale): dashboard.ThresholdsConfigBuilder {
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps([
    { value: null, color: COLOUR.ok },
    ...warning === undefined ? [] : [{ value: warning, color: COLOUR.warning }],
    ...critical === undefined ? [] : [{ value: critical, color: COLOUR.critical }]
  ])
}

/** One large number: the last value of its query. */
export function statPanel (
  options: Common & { readonly scale?: Scale, readonly sparkline?: boolean }
): stat.PanelBuilder {
  return described(new stat.PanelBuilder(), options)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
    .colorMode(options.scale === undefined ? common.BigValueColorMode.None : common.BigValueColorMode.Value)
    .graphMode(options.sparkline === true ? common.BigValueGraphMode.Area : common.BigValueGraphMode.None)
    .thresholds(thresholds(options.scale ?? {}))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds))
}

export interface TimeOptions extends Common {
  readonly bars?: boolean
  readonly stacked?: boolean
  /** Minimum bucket width, in Grafana's format. */
  readonly interval?: string
  /** Minimum of the axis. */
  readonly min?: number
  readonly legend?: readonly string[]
}

export function timePanel (options: TimeOptions): timeseries.PanelBuilder {
  const builder = described(new timeseries.PanelBuilder(), options)
    .legend(new common.VizLegendOptionsBuilder().displayMode(options.legend === undefined
      ? common.LegendDisplayMode.List
      : common.LegendDisplayMode.Table)
      .placement(common.LegendPlacement.Bottom).showLegend(true).calcs([...options.legend ?? []]))
    .tooltip(new common.VizTooltipOptionsBuilder()
      .mode(common.TooltipDisplayMode.Multi)
      .sort(common.SortOrder.Descending))
    .drawStyle(options.bars === true ? common.GraphDrawStyle.Bars : common.GraphDrawStyle.Line)
    .lineWidth(options.bars === true ? 0 : 1)
    .fillOpacity(options.bars === true ? 80 : 10)
    .showPoints(common.VisibilityMode.Never)
    .stacking(new common.StackingConfigBuilder().mode(options.stacked === true
      ? common.StackingMode.Normal
      : common.StackingMode.None))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName))
  if (options.interval !== undefined) builder.interval(options.interval)
  if (options.min !== undefined) builder.min(options.min)
  return builder
}

/** Which state was held when. */
export function statePanel (options: Common & { readonly metric: Metric, readonly interval: string }):
statetimeline.PanelBuilder {
  return described(new statetimeline.PanelBuilder(), options)
    .mappings(stateMappings(options.metric)).interval(options.interval).mergeValues(true).fillOpacity(70)
    .legend(new common.VizLegendOptionsBuilder().displayMode(common.LegendDisplayMode.List)
      .placement(common.LegendPlacement.Bottom).showLegend(true).calcs([]))
}

/** Names of states for their numbers, of false and true for 0 and 1; in the colour of the catalogue's limits. */
export function stateMappings ({ type, states, limits }: Metric): dashboard.ValueMapping[] {
  const valueType = new ValueType(type, states)
  const colourOf = (value: number): string => {
    const severity = (['critical', 'warning'] as const).find((each) => (
      limits.states?.[each]?.some((state) => valueType.read(state) === value)))
    return severity === undefined ? STATE_COLOURS[Math.abs(value) % STATE_COLOURS.length] as string : COLOUR[severity]
  }
  const options = Object.fromEntries(valueType.states.flatMap(({ name, value }, index) => {
    const shown = { text: name, color: colourOf(value), index }
    // A table shows a boolean, a time line a number.
    return type === 'bool' ? [[String(value), shown], [name, shown]] : [[String(value), shown]]
  }))
  return [{ type: dashboard.MappingType.ValueToText, options }]
}

/** Of states in order. */
const STATE_COLOURS = ['green', 'blue', 'purple', 'light-green', 'light-blue', 'light-purple'] as const

export function tablePanel (options: Common): table.PanelBuilder {
  return described(new table.PanelBuilder(), options).cellHeight(common.TableCellHeight.Sm).showHeader(true)
}

/** A property of an override. */
export function property (id: string, value: unknown): dashboard.DynamicConfigValue {
  return { id, value }
}

/** A series with a fixed colour and custom drawing options. */
export function drawn (
  colour: string,
  ...custom: ReadonlyArray<readonly [id: string, value: unknown]>
): dashboard.DynamicConfigValue[] {
  return [
    property('color', { mode: 'fixed', fixedColor: colour }),
    ...custom.map(([id, value]) => property(`custom.${id}`, value))
  ]
}

/** A column of 'ok', 'warning', 'critical' as coloured cells. */
export function statusColumn (width: number): dashboard.DynamicConfigValue[] {
  const options = Object.fromEntries(
    (['ok', 'warning', 'critical'] as const).map((text, index) => [text, { text, color: COLOUR[text], index }])
  )
  return [
    property('mappings', [{ type: dashboard.MappingType.ValueToText, options }]),
    property('custom.cellOptions', {
      type: common.TableCellDisplayMode.ColorBackground,
      mode: common.TableCellBackgroundDisplayMode.Basic
    }),
    property('custom.width', width),
    property('custom.align', common.FieldTextAlignment.Center)
  ]
}

/** A column of satellites, each linking to its dashboard with the same time range. */
export function satelliteColumn (width: number, uid: string = UID.satellite): dashboard.DynamicConfigValue[] {
  const url = `/d/${uid}/satellite?var-satellite=\${__value.raw:percentencode}&\${__url_time_range}`
  return [
    property('links', [{ title: 'Show this satellite', url, targetBlank: false }]),
    property('custom.width', width),
    property('custom.filterable', true)
  ]
}

/** Units as Grafana names them; others are shown verbatim. */
const UNITS: Readonly<Record<string, string>> = {
  '%': 'percent', MB: 'decmbytes', dBm: 'dBm', V: 'volt', A: 'amp', W: 'watt', '°C': 'celsius', '': 'short'
}

export function unitOf ({ unit }: Metric): string {
  return UNITS[unit] ?? `suffix: ${unit}`
}
