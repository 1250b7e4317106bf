/** What requests to the server's API have in common. */

/** The server's address, without a trailing slash. */
export function apiBase ({ origin, pathname }: URL): string {
  return origin + pathname.replace(/\/+$/, '')
}

/** Headers that carry a token. @param token null: none */
export function bearer (token: string | null): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` }
}
