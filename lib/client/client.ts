/** The module `orbitstream/client` of the package, for programs that send points. protocol/SPEC.md has the formats. */
export { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
export { HttpSender, SendError, type HttpSenderOptions, type Point } from './http-sender.js'
export { UdpSender, type UdpSenderOptions } from './udp-sender.js'
