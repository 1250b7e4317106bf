/** The header of a request that carries a token. @param token null: none */
export function bearer (token: string | null): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` }
}
