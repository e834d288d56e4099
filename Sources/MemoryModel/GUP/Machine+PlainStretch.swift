// What the next pages look like, before anybody pins them: whoever knows that a stretch needs no
// fault, no copy and no migration may take many calls over it at once.

/// How a stretch of pages is cut into leaves and calls (rule P8.1).
package struct StretchCounts: Sendable, Equatable {
  /// Calls that the stretch takes.
  package var calls = 0
  /// Pages that an entry of their own shows.
  package var small = 0
  /// Pages in leaves of 2 MiB and more.
  package var large = 0
  /// Parts of such leaves, each of one call; of them, those of a single page.
  package var segments = 0
  package var singleSegments = 0
  /// Tables of 4 KiB entries, once for each call that reads them.
  package var tables = 0

  package var pages: Int { small + large }
}

extension Machine {
  /// How many pages from the start of a range on are present, accessible, shown whole by their leaf,
  /// and, for a long-term pin, may stay where they are.
  ///
  /// - Parameter pages: Within one area that pins may take.
  package mutating func plainStretch(
    _ space: Int, _ pages: Range<Int>, _ flags: GUPFlags, isFast: Bool
  ) -> Int {
    let root = spaces[space].root
    let wantsExclusive =
      !flags.contains(.write) && flags.contains(.pin) && unshares(anonymous: true)
    let wanted = PageTableEntry.Flags.present.union(flags.contains(.write) ? .write : [])
      .union(wantsExclusive ? .exclusive : [])
    let looked = wanted.union(.notPlain)
    var refused: UInt16 = 0
    if flags.contains(.longTerm) {
      refused = refusals(kernel.pinning.check) | (isFast ? fastRefusals(flags) : 0)
    }
    let classes = PinClasses(
      types: frames.pinClasses(), pageblockOrder: geometry.pageblockOrder, refused: refused)
    let entries = pageTables.entries.view()
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(root, page: page)
      if level == .pte {
        let last = min(pages.upperBound, (page | 511) + 1)
        let found = PinLoop.countPlain(
          entries, from: slot, count: last - page, looked: UInt64(looked.rawValue),
          wanted: UInt64(wanted.rawValue), classes)
        page += found
        if page < last { break }
      } else {
        guard entry.isLeaf, entry.flags.intersection(looked) == wanted,
          let folio = folio(of: entry.pfn), refused >> frames.pinClass(folio.head) & 1 == 0
        else { break }
        page = min(pages.upperBound, (page | ((1 << level.order) - 1)) + 1)
      }
    }
    return page - pages.lowerBound
  }

  /// How a plain stretch is cut by leaves, and by calls of `callPages` from its start on.
  package func countStretch(
    _ space: Int, _ pages: Range<Int>, callPages: Int
  ) -> StretchCounts {
    var counts = StretchCounts()
    counts.calls = (pages.count + callPages - 1) / callPages
    let root = spaces[space].root
    var page = pages.lowerBound
    while page < pages.upperBound {
      let level = pageTables.leaf(root, page: page).level
      let order = level == .pte ? 9 : level.order
      let end = min(pages.upperBound, (page | ((1 << order) - 1)) + 1)
      let first = (page - pages.lowerBound) / callPages
      let last = (end - 1 - pages.lowerBound) / callPages
      let parts = last - first + 1
      if level == .pte {
        counts.small += end - page
        counts.tables += parts
      } else {
        counts.large += end - page
        counts.segments += parts
        if callPages == 1 {
          counts.singleSegments += parts
        } else {
          let head = min(end, pages.lowerBound + (first + 1) * callPages) - page
          let tail = end - max(page, pages.lowerBound + last * callPages)
          counts.singleSegments += (head == 1 ? 1 : 0) + (parts > 1 && tail == 1 ? 1 : 0)
        }
      }
      page = end
    }
    return counts
  }

  /// What calls over a plain stretch cost, as single calls count it (rules P8.1, P8.2, P8.6).
  package func stretchCosts(
    _ counts: StretchCounts, _ flags: GUPFlags, isFast: Bool
  ) -> OperationCosts {
    var costs = OperationCosts()
    let rules = kernel.pinning
    let isPin = flags.contains(.pin)
    costs.calls = counts.calls
    costs.arrayWrites = counts.pages
    if isFast {
      costs.entryReads =
        2 * counts.calls + counts.tables + 3 * counts.small + 2 * counts.segments
      costs.pinAtomics = (isPin ? 2 : 1) * (counts.small + counts.segments)
      if flags.contains(.longTerm) { costs.lookups = counts.small + counts.segments }
      return costs
    }
    let each = isPin ? 2 : 1
    if rules.slowBatch {
      costs.walks = counts.small + counts.segments
      let second = rules.writesScatterList ? 0 : each
      costs.pinAtomics =
        counts.small + each * counts.segments
        + second * (counts.segments - counts.singleSegments)
    } else {
      costs.walks = counts.pages
      costs.pinAtomics = counts.small + each * counts.large
    }
    costs.entryReads = 4 * costs.walks
    if rules.writesScatterList { costs.arrayWrites = 0 }
    guard flags.contains(.longTerm) else { return costs }
    let folios = counts.small + counts.segments
    if rules.testsWhileWalking {
      costs.lookups = folios
      return costs
    }
    costs.rounds = counts.calls
    costs.lookups = rules.looksUpEveryPage ? counts.pages : folios
    costs.rescanReads = rules.stepsOverCompounds ? folios : counts.pages
    if rules.vmasArray {
      costs.arrayWrites += counts.pages
      costs.rescanReads += counts.pages
    }
    return costs
  }
}
