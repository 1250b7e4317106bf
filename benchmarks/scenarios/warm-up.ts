/**
 * The same load before the first measurement of every server: code is slow until it is compiled, which a long-running
 * server does not show, and servers are compared with one another.
 */
import type { Session } from '../session.js'
import { runThroughput } from './throughput.js'

export const WARM_UP_SECONDS = 1

/** @param ack meaning of responses in the measurements that follow; default: the server's setting */
export async function warmUp (session: Session, ack?: 'received'): Promise<void> {
  for (const batch of [1, 1000]) {
    await runThroughput(session, {
      format: 'json',
      batch,
      seconds: WARM_UP_SECONDS,
      ...ack === undefined ? {} : { ack }
    })
  }
}
