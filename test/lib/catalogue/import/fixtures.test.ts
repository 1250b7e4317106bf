/** The fixtures, one file of each format, as catalogues and as lists of what could not be taken over. */
import t from 'tap'
import { Ajv } from 'ajv'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { qualified } from '../../../../protocol/catalogue.js'
import { importCatalogue, type ImportFormat } from '../../../../lib/catalogue/import/import-catalogue.js'

const ROOT = new URL('../../../../../', import.meta.url)
const SCHEMA = JSON.parse(readFileSync(new URL('protocol/catalogue.schema.json', ROOT), 'utf8')) as object
const fits = new Ajv({ strict: true }).compile(SCHEMA)

function imported (format: ImportFormat, file: string): { metrics: Record<string, object>, remarks: string[] } {
  const bytes = readFileSync(new URL(`test/lib/catalogue/import/fixtures/${file}`, ROOT))
  const outcome = importCatalogue(bytes, format, file)
  if (!outcome.ok) throw new Error(outcome.faults.join('\n'))
  const json = parse(outcome.yaml) as { streams: Record<string, { metrics: Record<string, object> }> }
  if (!fits(json)) throw new Error(JSON.stringify(fits.errors))
  const metrics = Object.fromEntries(Object.entries(json.streams).flatMap(([stream, { metrics }]) => (
    Object.entries(metrics).map(([name, metric]) => [qualified(stream, name), metric]))))
  return { metrics, remarks: outcome.remarks.describe('') }
}

const STATE_NAMES = 'names of states have letters, digits, _, . and -, begin with a letter, and are different'
const FIRST = 'every catalogue has this stream: it is the first one'
const METRIC_NAMES = 'names have at most 41 lower-case ASCII letters, digits and _, and some are reserved'

t.test('a sheet with semicolons, decimal commas and headings of its own', (t) => {
  const { metrics, remarks } = imported('csv', 'sheet.csv')
  t.strictSame(metrics, {
    bat_v: {
      id: 1,
      type: 'float32',
      title: 'Battery voltage',
      unit: 'V',
      description: 'Measured at the bus; "main" line',
      limits: { low: { warning: 26.5, critical: 24 }, high: { warning: 33, critical: 34 } }
    },
    eps_mode: { id: 2, type: 'state', title: 'EPS Mode', states: { SAFE: 0, NOMINAL: 1, LOAD_SHED: 9 } },
    heater: { id: 3, type: 'bool', title: 'Heater' },
    panel_temp: {
      id: 4, title: 'Panel temp', unit: '°C', description: 'over two lines', limits: { low: { critical: -100 } }
    },
    'aocs.sun_sensor_plus_x': { id: 1, type: 'int', title: 'Sun sensor +X', unit: '°' },
    'aocs.sun_sensor_minus_x': { id: 2, type: 'int', title: 'Sun sensor -X', unit: '°' }
  })
  t.strictSame(remarks, [
    ':2: left out: column Owner: its heading is not known',
    `:3: changed: stream EPS → telemetry: ${FIRST}`,
    `:4: changed: state LOAD SHED → LOAD_SHED of EPS Mode: ${STATE_NAMES}`,
    ':5: changed: Sun sensor +X → sun_sensor_plus_x, Sun sensor -X → sun_sensor_minus_x (line 6): ' + METRIC_NAMES,
    ':7: left out: Status text: a catalogue has no texts or times',
    ':8: left out: BAT_V: an earlier row has the same name',
    ':9: left out: limits of Heater: a bool has no numeric limits',
    ':10: left out: high.critical of Panel temp: its comma may separate thousands or decimals: write it without',
    ':12: left out: a row: it has no name'
  ])
  t.end()
})

t.test('a telemetry definition of COSMOS', (t) => {
  const { metrics, remarks } = imported('cosmos', 'inst_tlm.txt')
  t.strictSame(metrics, {
    ccsdsver: { id: 1, type: 'int', title: 'CCSDSVER', description: 'CCSDS packet version' },
    ccsdsseqflags: {
      id: 2,
      type: 'state',
      title: 'CCSDSSEQFLAGS',
      description: 'Sequence flags',
      states: { CONT: 0, FIRST_PACKET: 1, LAST: 2 }
    },
    timesec: { id: 3, type: 'int', title: 'TIMESEC', description: 'Seconds since epoch' },
    temp1: {
      id: 4,
      title: 'TEMP1',
      unit: 'C',
      description: 'Temperature of the battery',
      resolution: 0.00305,
      limits: { low: { warning: -70, critical: -80 }, high: { warning: 60, critical: 80 } }
    },
    current: {
      id: 5,
      type: 'float32',
      title: 'CURRENT',
      unit: 'A',
      description: 'Bus current',
      limits: { low: { critical: 0 }, high: { critical: 5 } }
    },
    mode: {
      id: 6,
      type: 'state',
      title: 'MODE',
      description: 'Mode of operation',
      states: { SAFE: 0, NOMINAL: 1, LOAD_SHED: 2 },
      limits: { states: { warning: ['SAFE'], critical: ['LOAD_SHED'] } }
    },
    errors: { id: 7, type: 'int', title: 'ERRORS', description: 'Errors' },
    counter: { id: 8, type: 'int', title: 'COUNTER', description: 'Counts for ever' },
    duty: { id: 9, type: 'float32', title: 'DUTY', description: 'Duty cycle' },
    'adcs.ccsdsver': { id: 1, type: 'int', title: 'CCSDSVER', description: 'CCSDS packet version' },
    'adcs.posx': { id: 2, type: 'float32', title: 'POSX', description: 'Position, X' },
    'adcs.biasx': { id: 3, title: 'BIASX' }
  })
  t.strictSame(remarks, [
    `:3: changed: stream HEALTH_STATUS → telemetry: ${FIRST}`,
    ':4: changed: state FIRST PACKET → FIRST_PACKET of CCSDSSEQFLAGS, ' +
      `state LOAD SHED → LOAD_SHED of MODE (line 19): ${STATE_NAMES}`,
    ':8: left out: PKTID: it identifies the packet, so its value never changes',
    ':13: left out: FORMAT_STRING of TEMP1: a catalogue has no place for it',
    ':14: left out: green limits of TEMP1: a catalogue has no operational range',
    ':14: changed: limits of TEMP1: each point beyond a limit is an anomaly, not only several in a row',
    ':15: left out: limits TVAC of TEMP1: a catalogue has one set of limits: DEFAULT',
    ':16: left out: low warning of CURRENT, high warning of CURRENT: ' +
      'it equals the critical limit, so it would never take effect',
    ':23: left out: states of ERRORS: not every value has a name, so the metric is an int',
    ':26: changed: COUNTER: it has more bits than are stored: values beyond ±2^53 are refused',
    ':28: left out: ASCIICMD: a catalogue has only numbers, bools and states, no texts or blocks',
    ':30: left out: ARY: a metric is one value: declare the elements of an array',
    ':35: left out: PACKET_TIME: every point has its time, and COSMOS adds the item to every packet',
    ':37: left out: ERB, ERB (line 38), ERB (line 39): Ruby code is not run: import what COSMOS makes of the file',
    ':44: left out: limits of POSX: they are disabled',
    ':46: changed: BIASX: the file does not say what its conversion returns, so the metric is a float',
    ':48: left out: INST ABORT: commands are not telemetry'
  ])
  t.end()
})

t.test('an XTCE database', (t) => {
  const { metrics, remarks } = imported('xtce', 'satellite.xml')
  const voltage = {
    type: 'float32',
    unit: 'V',
    resolution: 0.01,
    limits: { low: { warning: 26, critical: 24 }, high: { warning: 33, critical: 34 } }
  }
  t.strictSame(metrics, {
    seq_count: { id: 1, type: 'int', title: 'SeqCount' },
    apid: { id: 2, type: 'int', title: 'Apid' },
    cell1_voltage: { id: 3, title: 'Cell1 Voltage', description: 'A voltage', ...voltage },
    cell1_heated: { id: 4, type: 'bool', title: 'Cell1 Heated' },
    bus_voltage: { id: 5, title: 'BusVoltage', description: 'Of the main bus', ...voltage },
    payload_voltage: {
      id: 6, title: 'PayloadVoltage', description: 'Of the payload', range: { min: 0, max: 50 }, ...voltage
    },
    operating_mode: {
      id: 7,
      type: 'state',
      title: 'OperatingMode',
      states: { Safe: 0, Nominal: 1, Safe_tumbling: 2 },
      limits: { states: { warning: ['Safe'], critical: ['Safe_tumbling'] } }
    },
    'radio_packet.seq_count': { id: 1, type: 'int', title: 'SeqCount' },
    'radio_packet.apid': { id: 2, type: 'int', title: 'Apid' },
    'radio_packet.status': { id: 3, type: 'int', title: 'Status' },
    'radio_packet.status_2': { id: 4, type: 'bool', title: 'Status' }
  })
  const voltages = (what = ''): string =>
    `${what}Cell1 Voltage, ${what}BusVoltage (line 73), ${what}PayloadVoltage (line 74)`
  t.strictSame(remarks, [
    ':21: left out: WatchRange of BusVoltage, WatchRange of PayloadVoltage, WatchRange of Cell1 Voltage: ' +
      'a metric has one warning and one critical alarm',
    `:49: changed: stream PowerPacket → telemetry: ${FIRST}`,
    ':51: left out: Derived: no container has it',
    `:67: left out: ${voltages('ContextAlarmList of ')}: limits are the same in all contexts`,
    `:67: changed: ${voltages()}: each point beyond a limit is an anomaly, not only several in a row`,
    `:67: changed: ${voltages()}: an exclusive bound is inclusive now`,
    `:78: changed: state Safe & tumbling → Safe_tumbling of OperatingMode: ${STATE_NAMES}`,
    ':80: left out: Name: a catalogue has no texts or bytes',
    ':81: left out: OnboardTime: a catalogue has no times: every point has its own',
    ':82: left out: initialValue of Status: a catalogue has no initial values',
    ':93: left out: Samples: entries of this kind have no place in a catalogue',
    ':108: changed: Status → status_2: another metric already has the name',
    ':115: left out: Missing: the parameter is not in the file'
  ])
  t.end()
})
