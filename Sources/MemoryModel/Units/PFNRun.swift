/// Single pages whose frames lie one behind the other, in the order in which they are handled.
///
/// Fresh memory is handed out ascending. A per-CPU list is a stack, so pages that were freed
/// ascending come back descending.
package struct PFNRun: Hashable, Sendable, BitwiseCopyable, Codable {
  package var first: PFN
  /// The number of pages, negative when they descend: 8 bytes a run, because there are millions.
  private var extent: Int32

  package init(_ first: PFN, count: Int, descending: Bool = false) {
    self.first = first
    extent = Int32(descending ? -count : count)
  }

  init(_ range: PFNRange) { self.init(PFN(range.start), count: range.count) }

  package var count: Int { Int(extent.magnitude) }
  package var isDescending: Bool { extent < 0 }
  package var isEmpty: Bool { extent == 0 }
  /// The distance from one page to the next: 1 or -1.
  package var step: Int { extent < 0 ? -1 : 1 }
  package var last: PFN { self[count - 1] }

  /// The same pages from the last one to the first.
  package var reversed: PFNRun {
    isEmpty ? self : PFNRun(last, count: count, descending: count > 1 && !isDescending)
  }

  package subscript(index: Int) -> PFN { PFN(first.index + index * step) }

  /// The frames, without their order.
  package var range: PFNRange {
    isDescending
      ? PFNRange(first.index + 1 - count, first.index + 1)
      : PFNRange(first.index, first.index + count)
  }

  package func prefix(_ pages: Int) -> PFNRun {
    PFNRun(first, count: min(count, pages), descending: isDescending)
  }

  package func dropFirst(_ pages: Int) -> PFNRun {
    if pages >= count { return PFNRun(first, count: 0) }
    return PFNRun(self[pages], count: count - pages, descending: isDescending)
  }

  /// Both as one run, where `next` goes on as this one does.
  package func joined(with next: PFNRun) -> PFNRun? {
    let distance = next.first.index - last.index
    guard distance == 1 || distance == -1, count == 1 || step == distance,
      next.count == 1 || next.step == distance
    else { return nil }
    return PFNRun(first, count: count + next.count, descending: distance < 0)
  }
}

extension [PFNRun] {
  /// Appends a run, joined to the last one where it goes on as that does.
  ///
  /// - Parameter start: Runs before this index are left alone.
  package mutating func append(joining run: PFNRun, from start: Int = 0) {
    if count > start, let joined = self[count - 1].joined(with: run) {
      self[count - 1] = joined
    } else {
      append(run)
    }
  }
}
