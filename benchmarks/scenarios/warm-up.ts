/**
 * The same load before the first measurement of every server: code that was never run is slow at first, which a server
 * that runs for days does not show, and servers are compared with one another.
 */
import type { Session } from '../session.js'
import { runThroughput } from './throughput.js'

export const WARM_UP_SECONDS = 1

/** @param ack what answers mean in the measurements that follow; without it as the server has it */
export async function warmUp (session: Session, ack?: 'received'): Promise<void> {
  for (const batch of [1, 1000]) await runThroughput(session, { format: 'json', batch, seconds: WARM_UP_SECONDS, ...ack === undefined ? {} : { ack } })
}
