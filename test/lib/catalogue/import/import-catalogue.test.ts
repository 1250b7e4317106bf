/** What holds for every format: bounds, encodings, choice of streams, names, and files that nobody should trust. */
import t from 'tap'
import fc from 'fast-check'
import { parse } from 'yaml'
import { FILE_BYTES_MAX } from '../../../../lib/catalogue/catalogue-file.js'
import {
  IMPORT_FORMATS, importCatalogue, type ImportFormat
} from '../../../../lib/catalogue/import/import-catalogue.js'
import { ImportError } from '../../../../lib/catalogue/import/imported.js'
import { SOURCE_BYTES_MAX } from '../../../../lib/catalogue/import/source-text.js'
import { parseXml } from '../../../../lib/catalogue/import/xtce/xml.js'

type Metrics = Record<string, Record<string, unknown>>

function importText (text: string | Uint8Array, format: ImportFormat, only: string[] = []): Metrics {
  const outcome = importCatalogue(typeof text === 'string' ? Buffer.from(text) : text, format, 'f', only)
  if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
  return (parse(outcome.yaml) as { streams: { telemetry: { metrics: Metrics } } }).streams.telemetry.metrics
}

function streamsOf (text: string): Record<string, unknown> {
  const outcome = importCatalogue(Buffer.from(text), 'cosmos', 'f')
  if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
  return (parse(outcome.yaml) as { streams: Record<string, unknown> }).streams
}

function remarksOf (text: string, format: ImportFormat): string[] {
  const outcome = importCatalogue(Buffer.from(text), format, 'f')
  if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
  return outcome.remarks.describe('f')
}

function faultsOf (text: string | Uint8Array, format: ImportFormat, only: string[] = []): readonly string[] {
  const outcome = importCatalogue(typeof text === 'string' ? Buffer.from(text) : text, format, 'f', only)
  return outcome.ok ? [] : outcome.faults
}

const xtce = (body: string): string => '<SpaceSystem name="S" xmlns="http://www.omg.org/spec/XTCE/20180204">' +
  `<TelemetryMetaData>${body}</TelemetryMetaData></SpaceSystem>`
const withTypes = (types: string, ...names: string[]): string => xtce(
  `<ParameterTypeSet>${types}</ParameterTypeSet><ParameterSet>` +
  `${names.map((name) => `<Parameter name="p${name}" parameterTypeRef="${name}"/>`).join('')}</ParameterSet>`)

t.test('headings in any order and of any habit', (t) => {
  const limits = { low: { warning: 2, critical: 1 }, high: { warning: 3, critical: 4 } }
  for (const heads of [
    'name,low warning,low critical,high warning,high critical', 'NAME,WARN_LO,CRIT_LO,WARN_HI,CRIT_HI',
    'metric,Yellow Low Limit,Red Low Limit,Yellow High Limit,Red High Limit', 'tag,yl,rl,yh,rh', 'item,lo,lolo,hi,hihi',
    'parameter,lowWarning [V],lowAlarm [V],highWarning [V],highAlarm [V]', 'name,low,critical low,high,critical high'
  ]) t.strictSame(importText(`${heads}\na,2,1,3,4\n`, 'csv')['a']?.['limits'], limits, heads)
  t.strictSame(
    importText('name;low limit;upper limit\na;2,5;3\n', 'csv')['a']?.['limits'],
    { low: { critical: 2.5 }, high: { critical: 3 } })
  const ranges = importText('name,min,max,type,outside,low\na,-5,5,,,\nb,0,,int,refuse,\nc,,1,,null,\n', 'csv')
  t.strictSame(Object.values(ranges).map(({ range }) => range),
    [{ min: -5, max: 5 }, { min: 0, outside: 'refuse' }, { max: 1, outside: null }])
  const wrong = importText('name,min,max,type,low\na,5,-5,,\nb,0.5,2,int,\nc,0,1,bool,\nd,0,1,,2\n', 'csv')
  t.strictSame(Object.values(wrong).map(({ range }) => range), [undefined, undefined, undefined, undefined])
  const numbers = 'name;low;high;lsb\na;-0,125;1,234;0\nb;1,5;12,25;0,5\n'
  t.strictSame(Object.values(importText(numbers, 'csv')).map(({ limits, resolution }) => [limits, resolution]), [
    [{ low: { critical: -0.125 } }, undefined], [{ low: { critical: 1.5 }, high: { critical: 12.25 } }, 0.5]
  ])
  t.match(remarksOf(numbers, 'csv'), [
    /left out: resolution of a: it must be above 0/, /left out: high.critical of a: its comma may separate/
  ])
  t.match(faultsOf('unit,low\nV,3\n', 'csv'), [/^f:1: must have a line of headings with a column "name"/])
  t.end()
})

t.test('sheets as programs save them', (t) => {
  const expected = { a: { id: 1, title: 'a', unit: '°C' } }
  const text = 'name,unit\r\na,°C\r\n'
  t.strictSame(importText(`\uFEFF${text}`, 'csv'), expected, 'UTF-8 with a mark')
  t.strictSame(importText(Buffer.from(`\uFEFF${text}`, 'utf16le'), 'csv'), expected, 'UTF-16')
  t.strictSame(importText(Buffer.from(text, 'latin1'), 'csv'), expected, 'Windows-1252')
  t.strictSame(importText(`sep=;\r\n${text.replaceAll(',', ';')}`, 'csv'), expected, 'sep=')
  t.strictSame(importText(text.replaceAll(',', '\t').replaceAll('\r\n', '\r'), 'csv'), expected, 'tabs, CR')
  t.strictSame(importText('\n\n"name" ,"unit"\n\na,"°C"', 'csv'), expected, 'empty lines')
  t.match(faultsOf('name,unit\na,"x\nb,y\n', 'csv'), ['f:2: has a quote that is never closed'])
  t.match(importText('name,unit\na,nA\nb,NA\n', 'csv'), { a: { unit: 'nA' }, b: { unit: undefined } })
  t.strictSame(faultsOf('', 'csv'), ['f: is empty'])
  t.end()
})

t.test('property: cells come out of a sheet as they went in', (t) => {
  const cell = fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => text.replace(/\p{Cc}/gu, ' ').trim())
  const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`
  fc.assert(fc.property(
    fc.array(fc.tuple(cell, fc.boolean()), { minLength: 1, maxLength: 20 }),
    fc.constantFrom(',', ';', '\t', '|'), fc.constantFrom('\n', '\r\n', '\r'),
    (cells, delimiter, end) => {
      const lines = [['name', 'description'].join(delimiter), ...cells.map(([text, isFirst], index) => (
        isFirst ? `m${index}${delimiter}${quote(text)}` : `"m${index}"${delimiter}${quote(text)}`))]
      const metrics = importText(lines.join(end), 'csv')
      return cells.every(([text], index) => {
        const isEmpty = ['-', '–', 'n/a', 'N/A', 'NA', 'none', 'None', 'null', 'NULL'].includes(text)
        return (metrics[`m${index}`]?.['description'] ?? '') === (isEmpty ? '' : text.replace(/\s+/g, ' '))
      })
    }), { numRuns: 50 })
  t.end()
})

t.test('ids of a sheet stay if all are good', (t) => {
  const ids = (text: string): unknown[] => Object.values(importText(text, 'csv')).map(({ id }) => id)
  t.strictSame(ids('id,name\n7,a\n,b\n3,c\n'), [7, 8, 3])
  t.strictSame(ids('id,name\n7,a\n7,b\n'), [1, 2])
  t.strictSame(ids('id,name\n1.5,a\n3,b\n'), [1, 2])
  t.end()
})

t.test('types, aliases and retired metrics of a sheet', (t) => {
  const text = 'name,type,aliases,retired,states\n' +
    'a,uint8_t,,,\nb,Boolean,,no,\nc,,b x Y,yes,\nd,,,,OFF:0|1:ON\ne,what,,,\nf,float,,,OFF ON\ng,enum,,,1=A;1=B\n'
  const metrics = importText(text, 'csv')
  t.strictSame(Object.entries(metrics).map(([name, { type }]) => [name, type]), [
    ['a', 'int'], ['b', 'bool'], ['c', undefined], ['d', 'state'], ['f', undefined], ['g', 'state']
  ])
  t.match(metrics['c'], { aliases: ['x'], retired: true })
  t.strictSame(metrics['d']?.['states'], { OFF: 0, ON: 1 })
  t.match(remarksOf(text, 'csv'), [
    /^f:4: left out: alias b of c: the name is taken already/, /^f:4: left out: alias Y of c: it is not a valid name/,
    /^f:6: left out: e: its type is not known/, /^f:7: left out: states of f: they must be names with their numbers/,
    /^f:8: left out: state B of g: another state has its number/
  ])
  t.end()
})

t.test('sheets are bounded in rows and cells', (t) => {
  const row = (cells: number): string => Array.from({ length: cells }, () => 'a').join(',')
  t.match(faultsOf(`name\n${row(1_001)}`, 'csv'), ['f:2: has a row of more than 1000 cells'])
  t.match(faultsOf(`name\n${'a'.repeat(65_537)}`, 'csv'), ['f:2: has a cell of more than 65536 characters'])
  t.match(faultsOf(`name\n${'a\n'.repeat(100_001)}`, 'csv'), ['f:100001: has more than 100000 rows'])
  t.end()
})

t.test('names become valid and different', (t) => {
  const names = ['Temp-1', 'Temp_1', 'time', '3V3', 'Größe', '+X', '-X', 'µA', 'x'.repeat(60), 'x'.repeat(61), '日本']
  const text = `name\n${names.map((name) => `"${name}"`).join('\n')}\n`
  t.strictSame(Object.keys(importText(text, 'csv')), [
    'temp_1', 'temp_1_2', 'time_value', 'm_3v3', 'groesse', 'plus_x', 'minus_x', 'u_a', 'x'.repeat(41),
    `${'x'.repeat(37)}_2`, 'metric'
  ])
  t.end()
})

t.test('streams can be chosen', (t) => {
  const items = (count: number): string =>
    Array.from({ length: count }, (_, i) => `APPEND_ITEM X${i} 8 UINT\n`).join('')
  const text = `TELEMETRY T FIRST BIG_ENDIAN\n${items(200)}TELEMETRY T SECOND BIG_ENDIAN\n${items(100)}ALLOW_SHORT\n`
  const packets = (...names: string[]): string => names
    .map((name) => `TELEMETRY T ${name} BIG_ENDIAN\nAPPEND_ITEM X 8 UINT\n`).join('')
  t.strictSame(
    Object.keys(streamsOf(packets('ORDER', 'Telemetry', 'ORDER_S', 'A_VERY_LONG_NAME_OF_A_PACKET', '7'))),
    ['order_s', 'telemetry', 'order_s_2', 'a_very_long_name_of_a_pa', 's_7'])
  t.strictSame(
    Object.keys(streamsOf(packets('Telemetry', 'TELEMETRY_HK', 'SATELLITE_STATUS', 'X_LATE', 'ROLLUP', 'TELEMETRY!'))),
    ['telemetry', 's_telemetry_hk', 's_satellite_status', 'x_late_s', 's_roll_up', 's_telemetry'])
  t.strictSame(faultsOf(packets(...Array.from({ length: 33 }, (_, i) => `P${i}`)), 'cosmos'), [
    'f: has 33 streams with metrics; a catalogue can have at most 32. Choose among them with --stream, which may be ' +
    `repeated: ${Array.from({ length: 20 }, (_, i) => `P${i}`).join(', ')} …`
  ])
  t.match(faultsOf(`TELEMETRY T WIDE BIG_ENDIAN\n${items(251)}`, 'cosmos'), [/has 251 metrics in the stream WIDE/])
  t.equal(Object.keys(importText(text, 'cosmos')).length, 200)
  t.equal(Object.keys(importText(text, 'cosmos', ['second'])).length, 100)
  t.strictSame(faultsOf(text, 'cosmos', ['third']), ['f: has no stream third; it has FIRST, SECOND'])
  t.equal(Object.keys(importText('stream,name\nA b,x\nC,y\n', 'csv', ['a_b'])).length, 1)
  const alike = 'stream,name\nA very long name of packet 1,x\nA very long name of packet 2,y\n温度,z\n電圧,v\n'
  t.strictSame(Object.keys(importText(alike, 'csv', ['a_very_long_name_of_packet_2'])), ['y'])
  t.strictSame(Object.keys(importText(alike, 'csv', ['電圧'])), ['v'])
  const many = packets(...Array.from({ length: 30 }, (_, i) => `P${i}`))
  t.match(faultsOf(many, 'cosmos', ['q']), [/^f: has no stream q; it has P0, .*, P19 and more$/])
  for (const [text, format] of [['# empty', 'cosmos'], ['name\n', 'csv'], ['<SpaceSystem/>', 'xtce']] as const) {
    t.strictSame(faultsOf(text, format, ['q']), ['f: has no metrics that a catalogue can hold'])
  }
  t.end()
})

t.test('property: every packet becomes a stream, whatever its name', (t) => {
  const word = fc.constantFrom(
    'telemetry', 'Telemetry', 'TELEMETRY ', 'satellite', 'limits', 'rollup', 'x_rollup_y', 'late', 'latest', '10s',
    'p20261128', 'order', 'batch', 'constructor', 'pg_', 'a'.repeat(24), '日本', '7')
  const name = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('_'))
  fc.assert(fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 8 }), (names) => {
    const outcome = importCatalogue(
      Buffer.from(`stream,name\n${names.map((each) => `"${each}",x`).join('\n')}\n`), 'csv', 'f')
    if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
    const streams = new Set(names.map((each) => each.trim()))
    if (outcome.streams !== streams.size) throw new Error(outcome.yaml)
  }), { numRuns: 200, examples: [[['telemetry', 'pg', 'pg_']]] })
  t.end()
})

t.test('limits that contradict each other are left out', (t) => {
  const text = 'name,rl,yl,yh,rh\na,5,1,,\nb,,10,5,\n'
  t.ok(Object.values(importText(text, 'csv')).every(({ limits }) => limits === undefined))
  t.match(remarksOf(text, 'csv'), [/^f:2: left out: limits of a, limits of b \(line 3\): they contradict each other/])
  t.end()
})

t.test('COSMOS: what a line may look like', (t) => {
  const metrics = importText([
    '# comment <%= not run %>', 'telemetry t p LITTLE_ENDIAN', 'append_item a 32 float "A # in a text" # and a comment',
    'APPEND_ITEM B 8 &', '  UINT \'single "quotes"\'', 'APPEND_ITEM C 8 UINT "one" +', '  # between', '  " two"',
    '  READ_CONVERSION openc3/conversions/polynomial_conversion.py 1 0.5',
    '<% if x', 'APPEND_ITEM NOT 8 UINT', '# end %>',
    'APPEND_ITEM D 8 INT', '  STATE MINUS -1', '  STATE HEX 0x10', 'DELETE_ITEM B', 'APPEND_ITEM A 64 FLOAT'
  ].join('\r\n'), 'cosmos')
  t.strictSame(metrics, {
    a: { id: 1, title: 'A' },
    c: { id: 2, title: 'C', description: 'one two', resolution: 0.5 },
    d: { id: 3, type: 'state', title: 'D', states: { MINUS: -1, HEX: 16 } }
  })
  t.match(faultsOf('APPEND_ITEM A 8 UINT', 'cosmos'), ['f:1: has APPEND_ITEM before any TELEMETRY'])
  t.match(faultsOf(`TELEMETRY T ${'P'.repeat(20_000)}`, 'cosmos'), ['f:1: has a line of more than 16384 characters'])
  t.end()
})

t.test('XTCE: types that refer to others, and to none', (t) => {
  const chain = '<IntegerParameterType name="A" baseType="B"/><IntegerParameterType name="B" baseType="A"/>'
  t.strictSame(importText(withTypes(chain, 'A'), 'xtce'), { p_a: { id: 1, type: 'int', title: 'pA' } })
  const nested = '<AggregateParameterType name="A"><MemberList><Member name="m" typeRef="A"/>' +
    '<Member name="n" typeRef="B"/></MemberList></AggregateParameterType><BooleanParameterType name="B"/>'
  t.equal(Object.keys(importText(withTypes(nested, 'A'), 'xtce')).length, 16)
  t.match(faultsOf(withTypes('', 'A'), 'xtce'), ['f: has no metrics that a catalogue can hold'])
  const ranged = '<EnumeratedParameterType name="A"><EnumerationList><Enumeration value="0" maxValue="9" label="L"/>' +
    '</EnumerationList></EnumeratedParameterType>'
  t.match(importText(withTypes(ranged, 'A'), 'xtce'), { p_a: { type: 'int' } })
  const int = '<IntegerParameterType name="A"><DefaultAlarm><StaticAlarmRanges>' +
    '<CriticalRange minExclusive="3" maxExclusive="9"/></StaticAlarmRanges></DefaultAlarm></IntegerParameterType>'
  t.strictSame(
    importText(withTypes(int, 'A'), 'xtce')['p_a']?.['limits'], { low: { critical: 4 }, high: { critical: 8 } })
  t.end()
})

t.test('XTCE: containers that include each other end', (t) => {
  const container = (name: string, ...refs: string[]): string => `<SequenceContainer name="${name}"><EntryList>` +
    `<ParameterRefEntry parameterRef="p"/>${refs.map((ref) => `<ContainerRefEntry containerRef="${ref}"/>`).join('')}` +
    '</EntryList></SequenceContainer>'
  const text = (...containers: string[]): string => xtce(
    '<ParameterTypeSet><BooleanParameterType name="B"/></ParameterTypeSet>' +
    `<ParameterSet><Parameter name="p" parameterTypeRef="B"/></ParameterSet><ContainerSet>${containers.join('')}` +
    '</ContainerSet>')
  const circle = text(container('A', 'B', 'B'), container('B', 'C', 'C'), container('C', 'B'))
  t.strictSame(Object.keys(importText(circle, 'xtce')), ['p'])
  // Each level twice: two to the power of a thousand if each were followed.
  const levels = Array.from({ length: 1_000 }, (_, level) => container(`L${level}`, `L${level + 1}`, `L${level + 1}`))
  t.strictSame(Object.keys(importText(text(...levels, container('L1000')), 'xtce')), ['p'])
  t.end()
})

t.test('XTCE: parameters of containers, counted before they take too long', (t) => {
  const parts = '<ParameterTypeSet><BooleanParameterType name="B"/></ParameterTypeSet><ParameterSet>' +
    '<Parameter name="p" parameterTypeRef="B"/><Parameter name="q" parameterTypeRef="B"/></ParameterSet>'
  const container = (entries: string): string => '<ContainerSet><SequenceContainer name="C"><EntryList>' +
    `<ParameterRefEntry parameterRef="p"><RepeatEntry/></ParameterRefEntry>${entries}</EntryList></SequenceContainer>` +
    '<SequenceContainer name="A" abstract="true"><EntryList><ParameterRefEntry parameterRef="/S/q"/></EntryList>' +
    '</SequenceContainer></ContainerSet>'
  const entries = '<ContainerRefEntry containerRef="/S/none"/><ContainerRefEntry containerRef="../x/y"/>' +
    '<StreamSegmentEntry/><ParameterRefEntry parameterRef="/T/p"/>'
  const text = xtce(parts + container(entries)).replace('xmlns', 'x')
    .replace('<TelemetryMetaData>', '<include href="other.xml"/><TelemetryMetaData>')
  t.match(remarksOf(text, 'xtce'), [
    /other\.xml: other files are not read/, /changed: SpaceSystem: its namespace is not that of XTCE/,
    /changed: p: it repeats in its container, and is one metric here/,
    /left out: \/S\/none, \.\.\/x\/y: the container is not in the file/,
    /left out: StreamSegmentEntry: entries of this kind/, /left out: \/T\/p: the parameter is not in the file/,
    /left out: q: only abstract containers, or none that is a stream, have it/
  ])
  const members = '<AggregateParameterType name="A"><MemberList>' +
    `${'<Member name="m" typeRef="T"/>'.repeat(1_000)}</MemberList></AggregateParameterType>` +
    '<StringParameterType name="T"/>'
  const many = Array.from({ length: 500 }, (_, index) => `<Parameter name="p${index}" parameterTypeRef="A"/>`).join('')
  t.match(faultsOf(withTypes(members).replace('<ParameterSet>', `<ParameterSet>${many}`), 'xtce'), [/^f:1: has more than 500000 parameters in its containers/])
  t.end()
})

t.test('XTCE: names that no reference can have', (t) => {
  const type = '<ParameterTypeSet><BooleanParameterType name="B"/></ParameterTypeSet>'
  const parameters = '<ParameterSet><Parameter name="p/q" parameterTypeRef="B"/><Parameter name="." ' +
    'parameterTypeRef="B"/></ParameterSet>'
  t.strictSame(Object.keys(importText(xtce(type + parameters), 'xtce')), ['p_q', 'metric'])
  const container = '<ContainerSet><SequenceContainer name="c/d"><EntryList><ParameterRefEntry parameterRef="."/>' +
    '</EntryList></SequenceContainer></ContainerSet>'
  t.strictSame(Object.keys(importText(xtce(type + parameters + container), 'xtce')), ['metric'])
  t.match(remarksOf(xtce(type + parameters + container), 'xtce'), [/left out: p\/q: no container has it/])
  t.end()
})

t.test('XML that nobody should trust', (t) => {
  const bomb = '<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><SpaceSystem name="&b;"/>'
  t.match(faultsOf(bomb, 'xtce'), ['f:1: has a DOCTYPE, which XTCE does not need: remove it'])
  t.match(faultsOf('<SpaceSystem name="&b;"/>', 'xtce'), ['f:1: is not well-formed XML: undefined entity.'])
  t.match(faultsOf('<a>'.repeat(1_000), 'xtce'), ['f:1: has elements that are nested more than 100 deep'])
  t.match(
    faultsOf(`<a ${Array.from({ length: 1_000 }, (_, i) => `a${i}=""`).join(' ')}/>`, 'xtce'),
    ['f:1: has an element with more than 64 attributes'])
  t.throws(() => parseXml('<a>\n<b/><b/></a>', 2), new ImportError(2, 'has more than 2 elements'))
  t.match(faultsOf(`<a b="${'x'.repeat(16_385)}"/>`, 'xtce'), ['f:1: has an attribute of more than 16384 characters'])
  t.match(faultsOf('<a>\n<b>\n</a>', 'xtce'), [/^f:3: is not well-formed XML/])
  t.match(faultsOf('', 'xtce'), [/^f:1: is not well-formed XML/])
  t.match(faultsOf('<html/>', 'xtce'), ['f:1: must begin with SpaceSystem, not html'])
  t.end()
})

t.test('a file is bounded in size, and so is the catalogue', (t) => {
  const large = new Uint8Array(SOURCE_BYTES_MAX + 1).fill(0x61)
  const tooLarge = [`f: has more than ${SOURCE_BYTES_MAX} bytes`]
  for (const format of IMPORT_FORMATS) t.strictSame(faultsOf(large, format), tooLarge)
  const states = Array.from({ length: 256 }, (_, value) => `  STATE ${'S'.repeat(36)}${value} ${value}\n`).join('')
  const items = Array.from({ length: 250 }, (_, item) => `APPEND_ITEM X${item} 8 UINT\n${states}`).join('')
  const packet = (name: string): string => `TELEMETRY T ${name} BIG_ENDIAN\n${items}`
  t.match(
    faultsOf(packet('P') + packet('Q'), 'cosmos'),
    [`the catalogue made of it:1:1: the file has more than ${FILE_BYTES_MAX} bytes`])
  t.end()
})

t.test('property: any text gives a valid catalogue or faults', (t) => {
  const words = fc.constantFrom(
    'TELEMETRY T P BIG_ENDIAN\n', 'APPEND_ITEM', ' X ', '8', ' UINT', ' FLOAT', '\n', '  STATE ',
    '  LIMITS DEFAULT 1 ENABLED ', ' 1e999', ' -5', '"', "'", '&', '\\', '<%', '%>', 'name', ',', ';', 'type', 'states',
    'A=1', 'low', 'high critical', '0x', '<SpaceSystem name="S">', '<TelemetryMetaData>', '<ParameterSet>',
    '<Parameter name="p" parameterTypeRef="t"/>', '</', '>', '__proto__', 'constructor', '\ud800', '\0', '\u2028', '😀')
  const anyText = fc.array(fc.oneof({ arbitrary: words, weight: 9 }, { arbitrary: fc.string(), weight: 1 })).map(
    (parts) => parts.join(''))
  const heads = fc.constantFrom(
    '', 'name,type,states,rl,rh,min,max,id\n', 'TELEMETRY T P BIG_ENDIAN\nAPPEND_ITEM A 8 UINT\n')
  fc.assert(fc.property(heads, anyText, fc.constantFrom(...IMPORT_FORMATS), (head, text, format) => {
    const outcome = importCatalogue(Buffer.from(head + text), format, 'f')
    return outcome.ok || outcome.faults.every((fault) => !fault.startsWith('the catalogue'))
  }), { numRuns: 500 })
  t.end()
})
