/**
 * A telemetry definition of OpenC3 COSMOS: packets with their items. One packet is one stream.
 *
 *   TELEMETRY INST HEALTH_STATUS BIG_ENDIAN "Health and status"
 *     APPEND_ITEM TEMP1 16 UINT "Temperature of the battery"
 *       POLY_READ_CONVERSION -100 0.00305
 *       UNITS Celsius C
 *       LIMITS DEFAULT 3 ENABLED -80 -70 60 80
 *
 * Source: openc3.com/docs, "Telemetry Configuration". Names mean the same in either case there.
 */
import { cosmosLines, type CosmosLine } from './cosmos-lines.js'
import { CosmosItem, NO_TEXT } from './cosmos-item.js'
import { ImportError, type ImportedStream } from '../imported.js'
import type { Remarks } from '../remarks.js'
import type { StreamFilter } from '../stream-filter.js'

/** Of a file; a catalogue has at most 250. */
const ITEMS_MAX = 100_000

/** Where an item has its type: behind name and size, and behind name, offset and size. */
const TYPE_AT: Readonly<Record<string, number>> = { APPEND_ITEM: 2, ITEM: 3 }
const CODE_START = /^GENERIC_(READ|WRITE)_CONVERSION_START$/
const CODE_END = /^GENERIC_(READ|WRITE)_CONVERSION_END$/
const OTHER_ITEM = /^(APPEND_)?(ID_ITEM|ARRAY_ITEM|STRUCTURE)$/
/** What CosmosItem takes. */
const ITEM_KEYWORDS = new Set([
  'UNITS', 'DESCRIPTION', 'STATE', 'LIMITS', 'POLY_READ_CONVERSION', 'SEG_POLY_READ_CONVERSION', 'READ_CONVERSION',
  'GENERIC_READ_CONVERSION_START'
])
/** Of packets and items: how bytes are found, and what only COSMOS does with values. */
const DECODING = new Set([
  'OVERLAP', 'IGNORE_OVERLAP', 'KEY', 'VARIABLE_BIT_SIZE', 'ACCESSOR', 'TEMPLATE', 'TEMPLATE_FILE', 'ALLOW_SHORT',
  'SUBPACKET', 'SUBPACKETIZER'
])
const SHOWING = new Set(['FORMAT_STRING', 'HIDDEN', 'META', 'OBFUSCATE', 'PROCESSOR', 'LIMITS_RESPONSE', 'LIMITS_GROUP',
  'LIMITS_GROUP_ITEM', 'DISABLED'])
/** Of items that every packet has. */
const RESERVED = new Set([
  'PACKET_TIMESECONDS', 'PACKET_TIMEFORMATTED', 'RECEIVED_TIMESECONDS', 'RECEIVED_TIMEFORMATTED', 'RECEIVED_COUNT',
  'PACKET_TIME', 'RECEIVED_TIME'
])

interface Packet {
  readonly target: string
  readonly name: string
  readonly items: Map<string, CosmosItem>
  /** Only there to be part of others. */
  isVirtual: boolean
}

/** @throws {ImportError} */
export function readCosmos (text: string, remarks: Remarks, filter: StreamFilter): ImportedStream[] {
  const reader = new CosmosReader(remarks, filter)
  for (const line of cosmosLines(text, remarks)) reader.take(line)
  return reader.streams()
}

class CosmosReader {
  private readonly packets = new Map<string, Packet>()
  private packet: Packet | null = null
  private item: CosmosItem | null = null
  /** Within the code of a conversion. */
  private isCode = false
  /** Within a command, or a packet that nobody wants. */
  private isSkipped = false
  private itemCount = 0

  constructor (private readonly remarks: Remarks, private readonly filter: StreamFilter) {}

  take (each: CosmosLine): void {
    const { line, keyword, parameters: [first = '', second = ''] } = each
    if (this.isCode) {
      this.isCode = !CODE_END.test(keyword)
      return
    }
    if (keyword === 'TELEMETRY' || keyword === 'SELECT_TELEMETRY') {
      this.begin(first, second)
      return
    }
    if (keyword === 'COMMAND' || keyword === 'SELECT_COMMAND') {
      this.isSkipped = true
      this.remarks.leftOut(line, `${first} ${second}`, 'commands are not telemetry')
      return
    }
    this.isCode = CODE_START.test(keyword)
    if (this.isSkipped) return
    if (keyword in TYPE_AT || OTHER_ITEM.test(keyword)) this.takeItem(each)
    else if (keyword === 'SELECT_ITEM') this.select(line, first)
    else if (keyword === 'DELETE_ITEM') this.packet?.items.delete(first.toUpperCase())
    else if (keyword === 'VIRTUAL' && this.packet !== null) this.packet.isVirtual = true
    else if (this.item?.take(each) !== true) this.leaveOut(each)
  }

  streams (): ImportedStream[] {
    const packets = [...this.packets.values()]
    const hasTargets = new Set(packets.map(({ target }) => target)).size > 1
    return packets.map(({ target, name, items, isVirtual }) => {
      const all = [...items.values()]
      if (isVirtual && all[0] !== undefined) {
        this.remarks.leftOut(all[0].line, `packet ${target} ${name}`, 'it is virtual: a part of other packets')
      }
      return {
        name: hasTargets ? `${target} ${name}` : name,
        metrics: (isVirtual ? [] : all).flatMap((item) => item.metric(JSON.stringify([target, name, item.name])) ?? [])
      }
    })
  }

  private begin (target: string, name: string): void {
    this.isSkipped = !this.filter.wants(name, `${target} ${name}`)
    if (this.isSkipped) return
    const key = `${target} ${name}`.toUpperCase()
    const packet = this.packets.get(key) ?? { target, name, items: new Map<string, CosmosItem>(), isVirtual: false }
    this.packets.set(key, packet)
    this.packet = packet
    this.item = null
  }

  private takeItem ({ line, keyword, parameters }: CosmosLine): void {
    const [name = ''] = parameters
    const { packet } = this
    this.item = null
    if (packet === null) throw new ImportError(line, `has ${keyword} before any TELEMETRY`)
    if (++this.itemCount > ITEMS_MAX) throw new ImportError(line, `has more than ${ITEMS_MAX} items`)
    const typeAt = TYPE_AT[keyword]
    if (typeAt === undefined) {
      this.remarks.leftOut(line, name, keyword.endsWith('ID_ITEM')
        ? 'it identifies the packet, so its value never changes'
        : keyword.endsWith('ARRAY_ITEM') ? 'a metric is one value: declare the elements of an array' : NO_TEXT)
      return
    }
    const [type = '', description = ''] = parameters.slice(typeAt)
    const bits = Number(parameters[typeAt - 1])
    if (name === '' || !Number.isInteger(bits) || type === '') {
      this.remarks.leftOut(line, name === '' ? keyword : name, 'it must have a name, a size in bits and a type')
      return
    }
    const key = name.toUpperCase()
    if (RESERVED.has(key)) {
      this.remarks.leftOut(line, name, 'every point has its time, and COSMOS adds the item to every packet')
      return
    }
    // As in COSMOS, the later one counts.
    const earlier = packet.items.get(key)
    if (earlier !== undefined) this.remarks.leftOut(earlier.line, name, 'a later item has the same name')
    this.item = new CosmosItem(name, line, type.toUpperCase(), bits, description, this.remarks)
    packet.items.set(key, this.item)
  }

  private select (line: number, name: string): void {
    this.item = this.packet?.items.get(name.toUpperCase()) ?? null
    if (this.item === null) this.remarks.leftOut(line, name, 'it is selected, but is not in this file')
  }

  private leaveOut ({ line, keyword }: CosmosLine): void {
    const what = this.item === null ? keyword : `${keyword} of ${this.item.name}`
    // Lines after an item that was left out itself belong to it.
    if (this.item === null && ITEM_KEYWORDS.has(keyword)) return
    const reason = DECODING.has(keyword)
      ? 'senders decode packets, so a catalogue does not say how'
      : SHOWING.has(keyword) ? 'a catalogue has no place for it' : 'the keyword is not known'
    this.remarks.leftOut(line, what, reason)
  }
}
