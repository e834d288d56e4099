// Invariant: buffers do not overlap, and each page of one has its bit set. Pages that the kernel itself
// takes out of an area, for gigantic pages or hash page tables, are in none.

/// Pages that a script got from `cma_alloc()` and has not given back.
public struct CMABuffer: Sendable, Hashable, Codable {
  public let id: Int
  /// Index into ``Machine/cmaAreas``.
  public let area: Int
  public var pfn: PFN
  public var pages: Int

  public var range: PFNRange { PFNRange(pfn.index, pfn.index + pages) }
}

extension Machine {
  /// Records a buffer.
  ///
  /// - Returns: Its number.
  mutating func addCMABuffer(area: Int, _ pfn: PFN, pages: Int) -> Int {
    lastCMABuffer += 1
    cmaBuffers.append(CMABuffer(id: lastCMABuffer, area: area, pfn: pfn, pages: pages))
    return lastCMABuffer
  }

  /// Takes released pages out of the buffers; what a release leaves of one is a buffer still.
  mutating func removeFromCMABuffers(_ range: PFNRange) {
    if let whole = cmaBuffers.lastIndex(where: { $0.range == range }) {
      cmaBuffers.remove(at: whole)
      return
    }
    var kept: [CMABuffer] = []
    for buffer in cmaBuffers {
      let common = buffer.range.intersection(range)
      guard !common.isEmpty else {
        kept.append(buffer)
        continue
      }
      for rest in [
        PFNRange(buffer.range.start, common.start), PFNRange(common.end, buffer.range.end),
      ] where !rest.isEmpty {
        var part = buffer
        part.pfn = PFN(rest.start)
        part.pages = rest.count
        kept.append(part)
      }
    }
    cmaBuffers = kept
  }
}
