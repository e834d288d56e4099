// Invariant: a page is passed over only if its entry is the same in both machines, or absent in both.

extension Machine {
  /// The end of the pages from the start of a range on whose entries are the same in another machine,
  /// found by tables, because an area may be as large as user space.
  package func alikeEnd(
    _ space: Int, _ pages: Range<Int>, as other: borrowing Machine
  ) -> Int {
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (here, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      let (there, otherSlot, otherLevel) = other.pageTables.leaf(
        other.spaces[space].root, page: page)
      let smaller = min(level, otherLevel)
      if smaller > .pte {
        guard here == there, level == otherLevel || here.isNone else { return page }
        page = (page | ((1 << smaller.order) - 1)) + 1
        continue
      }
      guard level == otherLevel else {
        // Nothing on the one side, and a table of entries on the other.
        guard here.isNone, there.isNone else { return page }
        page += 1
        continue
      }
      let last = min(pages.upperBound, (page | 511) + 1)
      var offset = 0
      while page < last {
        if pageTables[slot + offset] != other.pageTables[otherSlot + offset] { return page }
        page += 1
        offset += 1
      }
    }
    return pages.upperBound
  }
}
