/**
 * A set whose members know their place in it, for what comes and goes thousands of times a second.
 *
 * A Set makes a new table every so often, and each old table points to the next. Once the collector has moved one of them to
 * the old generation, all that follow are kept alive with all that ever stood in them, until the next full collection.
 */
export interface Listed {
  /** Position in the roster; NOT_LISTED: in none. Written by the roster alone. */
  place: number
}

export const NOT_LISTED = -1

export class Roster<T extends Listed> {
  private readonly members: T[] = []

  get size (): number {
    return this.members.length
  }

  /** Does nothing for a member. */
  add (member: T): void {
    if (member.place !== NOT_LISTED) return
    member.place = this.members.length
    this.members.push(member)
  }

  /** Does nothing for anybody else. */
  delete (member: T): void {
    const { place } = member
    if (place === NOT_LISTED) return
    member.place = NOT_LISTED
    const last = this.members.pop() as T
    if (last === member) return
    this.members[place] = last
    last.place = place
  }

  /** All that are members now, in any order; they may come and go meanwhile. */
  all (): T[] {
    return [...this.members]
  }
}
