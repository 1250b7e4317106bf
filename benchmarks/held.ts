/**
 * A promise that is awaited later, while others are awaited: without a handler from the start its rejection in the
 * meantime would end the process before anything is cleaned up. Whoever awaits it still sees the rejection.
 */
export function held<Value> (promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {})
  return promise
}
