/** The module `orbitstream/client` of the package, for programs that send points. protocol/SPEC.md has the formats. */
export { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
