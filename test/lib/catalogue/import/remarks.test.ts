/** What a catalogue cannot take of a sheet, a COSMOS file or an XTCE database: each is named, with the reason. */
import t from 'tap'
import { parse } from 'yaml'
import { importCatalogue, type ImportFormat } from '../../../../lib/catalogue/import/import-catalogue.js'

type Metrics = Record<string, Record<string, unknown>>

/** The only stream's metrics, and the remarks. */
function imported (text: string, format: ImportFormat): { metrics: Metrics, remarks: string[] } {
  const outcome = importCatalogue(Buffer.from(text), format, 'f')
  if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
  const { streams } = parse(outcome.yaml) as { streams: { telemetry: { metrics: Metrics } } }
  return { metrics: streams.telemetry.metrics, remarks: outcome.remarks.describe('f') }
}

const withTypes = (types: string, ...names: string[]): string => (
  '<SpaceSystem name="S" xmlns="http://www.omg.org/spec/XTCE/20180204"><TelemetryMetaData>' +
  `<ParameterTypeSet>${types}</ParameterTypeSet><ParameterSet>` +
  `${names.map((name) => `<Parameter name="p${name}" parameterTypeRef="${name}"/>`).join('')}</ParameterSet>` +
  '</TelemetryMetaData></SpaceSystem>')

t.test('sheets', (t) => {
  const cases: Array<[text: string, remark: RegExp]> = [
    ['name,states,type\na,OFF=0,int', /states of a: they are for the type state, not int/],
    ['name,outside,max\na,drop,5', /outside of a: it must be one of flag, null, refuse/],
    ['name,low\na,5 V', /low\.critical of a: it must be a finite number, without a unit/],
    ['name,retired\na,perhaps', /retired of a: it must be yes or no/],
    ['name,tag\na,b', /column tag: another column has the same meaning/],
    ['name,states\na,A=0;B=40000', /changed: a: it is an int without names for its values/],
    [`name,unit\na,${'m'.repeat(25)}`, /changed: unit of a: it is cut off: at most 24 characters fit/],
    [`name,description\na,${'d'.repeat(3_000)}`, /description of a: it is cut off: at most 500 characters fit/]
  ]
  for (const [text, remark] of cases) t.match(imported(text, 'csv').remarks, [remark], text)
  t.end()
})

t.test('COSMOS items', (t) => {
  const of = (...lines: string[]): string => `TELEMETRY T P\nAPPEND_ITEM OK 8 UINT\n${lines.join('\n')}`
  const item = (type: string, ...lines: string[]): string => of(`APPEND_ITEM X ${type}`, ...lines)
  const cases: Array<[text: string, type: string | undefined, remarks: RegExp[]]> = [
    [item('64 UINT'), 'int', [/changed: X: it has more bits than are stored/]],
    [item('32 FLOAT', 'STATE ON 1'), 'float32', [/states of X: only whole numbers can be states/]],
    [item('8 UINT', 'STATE ON 1 RED', 'STATE X ANY'), 'int', [/states of X: not every value has a name/]],
    [item('8 UINT', 'STATE ON "a"'), 'int', [/state ON of X: its value is not a number/]],
    [item('8 UINT', 'LIMITS TVAC 1 ENABLED 1 2 3 4'), 'int', [/limits TVAC of X: a catalogue has one set/]],
    [item('8 UINT', 'LIMITS DEFAULT 1 DISABLED 1 2 3 4'), 'int', [/limits of X: they are disabled/]],
    [item('8 UINT', 'LIMITS DEFAULT 1 ENABLED 1 2 3 x'), 'int', [/limits of X: they must be four finite numbers/]],
    [item('8 UINT', 'LIMITS DEFAULT 3 ENABLED 1 1 4 4 2 3'), 'int', [
      /low warning of X, high warning of X: it equals/, /green limits of X/, /changed: limits of X: each point/]],
    [item('8 UINT', 'STATE ON 1', 'LIMITS DEFAULT 1 ENABLED 1 2 3 4'), 'state', [/limits of X: a state has no numeric/]],
    [item('8 BOOL'), 'bool', []],
    [item('0 DERIVED'), 'float', []],
    [item('8 UINT', 'READ_CONVERSION bit_reverse_conversion.rb'), 'int', []],
    [item('8 UINT', 'READ_CONVERSION packet_time_seconds_conversion.rb'), 'float', []],
    [item('8 UINT', 'READ_CONVERSION own.rb'), 'float', [/changed: X: the file does not say what its conversion/]],
    [item('8 UINT', 'SEG_POLY_READ_CONVERSION 0 1 2'), 'float', []],
    [item('8 UINT', 'GENERIC_READ_CONVERSION_START FLOAT 32', 'UNITS a', 'GENERIC_READ_CONVERSION_END'), 'float32', []],
    [item('8 UINT', 'GENERIC_READ_CONVERSION_START UINT 8', 'GENERIC_READ_CONVERSION_END'), 'int', []],
    [item('8 UINT', 'GENERIC_READ_CONVERSION_START STRING 8'), undefined, [/left out: X: a catalogue has only numbers/]],
    [item('8 UINT', 'READ_CONVERSION unix_time_formatted_conversion.rb'), undefined, [/left out: X: a catalogue has only/]],
    [item('8 UINT', 'KEY x', 'HIDDEN', 'FOO'), 'int', [/KEY of X: senders/, /HIDDEN of X: a catalogue/, /FOO of X: the key/]],
    [of('APPEND_ARRAY_ITEM X 8 UINT 80', 'UNITS a'), undefined, [/left out: X: a metric is one value/]],
    [of('APPEND_ID_ITEM X 8 UINT 1'), undefined, [/left out: X: it identifies the packet/]],
    [of('STRUCTURE X'), undefined, [/left out: X: a catalogue has only numbers/]],
    [of('APPEND_ITEM X eight UINT'), undefined, [/left out: X: it must have a name, a size in bits and a type/]],
    [of('APPEND_ITEM'), undefined, [/left out: APPEND_ITEM: it must have a name/]],
    [of('ITEM received_count 0 0 UINT'), undefined, [/left out: received_count: every point has its time/]],
    [of('SELECT_ITEM X', 'UNITS a'), undefined, [/left out: X: it is selected, but is not in this file/]],
    [of('COMMAND T X', 'APPEND_PARAMETER X 8 UINT'), undefined, [/left out: T X: commands are not telemetry/]],
    [of('TELEMETRY T V', 'VIRTUAL', 'APPEND_ITEM X 8 UINT'), undefined, [/left out: packet T V: it is virtual/]],
    [of('APPEND_ITEM X 8 UINT &'), 'int', []]
  ]
  for (const [text, type, remarks] of cases) {
    const { metrics: { x }, remarks: told } = imported(text, 'cosmos')
    t.equal(x?.['type'] ?? (x === undefined ? undefined : 'float'), type, text)
    t.match(told, remarks, text)
    t.equal(told.length, remarks.length, text)
  }
  t.end()
})

t.test('XTCE types', (t) => {
  const of = (kind: string, rest: string, attributes = ''): string => (
    withTypes(`<${kind}ParameterType name="A" ${attributes}>${rest}</${kind}ParameterType>`, 'A'))
  const alarm = (rest: string, attributes = ''): string => `<DefaultAlarm ${attributes}>${rest}</DefaultAlarm>`
  const ranges = (rest: string): string => alarm(`<StaticAlarmRanges>${rest}</StaticAlarmRanges>`)
  const states = '<EnumerationList><Enumeration value="0" label="OFF"/><Enumeration value="1" label="ON"/>' +
    '</EnumerationList>'
  const normal = (level: string): string => '<EnumerationAlarmList><EnumerationAlarm enumerationLabel="ON" ' +
    `alarmLevel="${level}"/></EnumerationAlarmList>`
  const cases: Array<[text: string, metric: object, remarks: RegExp[]]> = [
    [of('Integer', '<UnitSet><Unit power="2">m</Unit><Unit description="s"/></UnitSet>', 'sizeInBits="64"'),
      { type: 'int', unit: 'm^2 s' }, [/changed: pA: it has more bits than are stored/]],
    [of('Integer', '<ValidRange minExclusive="0" maxInclusive="9"/>'), { range: { min: 1, max: 9 } }, []],
    [of('Integer', '<ValidRangeSet><ValidRange maxExclusive="9.5"/></ValidRangeSet>'), { range: undefined },
      [/changed: pA: an exclusive bound is inclusive now/, /range of pA: its ends must be values of the type/]],
    [of('Float', '<ValidRange validRangeAppliesToCalibrated="false" minInclusive="1"/>'), { range: undefined },
      [/range of pA: a valid range is of calibrated values/]],
    [of('Float', ranges('<WatchRange minInclusive="2"/><WarningRange minExclusive="3"/>')),
      { limits: { low: { warning: 3 } } },
      [/WatchRange of pA: a metric has one warning/, /an exclusive bound is inclusive now/]],
    [of('Float', alarm('<StaticAlarmRanges rangeForm="inside"/><ChangeAlarmRanges/>')), { limits: undefined },
      [/ChangeAlarmRanges of pA: limits are bounds/, /limits of pA: a range of bad values cannot be kept/]],
    [of('Float', alarm('<StaticAlarmRanges/>', 'minViolations="3"')), { limits: undefined },
      [/each point beyond a limit is an anomaly/]],
    [of('Enumerated', states + alarm(normal('normal'), 'defaultAlarmLevel="severe"')),
      { type: 'state', limits: { states: { critical: ['OFF'] } } }, []],
    [of('Enumerated', states + alarm(normal('toString'))), { type: 'state', limits: undefined }, []],
    [of('Enumerated', states + alarm(normal('watch'), 'defaultAlarmLevel="watch"')), { limits: undefined },
      [/limits of pA: every state would be an anomaly/]]
  ]
  for (const [text, metric, remarks] of cases) {
    const { metrics, remarks: told } = imported(text, 'xtce')
    t.match(metrics['p_a'], metric, text)
    t.match(told, remarks, text)
    t.equal(told.length, remarks.length, text)
  }
  const none = '<BooleanParameterType name="X"/><ArrayParameterType name="B"/><RelativeTimeParameterType name="C"/>' +
    '<BinaryParameterType name="D"/><BooleanParameterType name="X"/>'
  t.match(imported(withTypes(none, 'X', 'B', 'C', 'D', 'E'), 'xtce').remarks, [
    /left out: X: its system has another one with the same name/, /left out: pB: a metric is one value/,
    /left out: pC: a catalogue has no times/, /left out: pD: a catalogue has no texts or bytes/,
    /left out: pE: its type is not in the file/
  ])
  t.end()
})
