/**
 * For a promise that is awaited later, while others are awaited: unhandled, its rejection in the meantime would end the
 * process before anything is cleaned up. Awaiting it still rejects.
 */
export function held<Value> (promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {})
  return promise
}
