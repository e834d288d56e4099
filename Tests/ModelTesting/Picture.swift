public import MemoryModel

// The notation of drawn memory, one character per frame:
//
//   0 … 9, A   the first frame of a free block of that order; dots follow for the rest of it
//   a … e      the first frame of a block on a per-CPU list, order 0 to 3 and a pageblock's
//   #          allocated
//   =          free in the pool of huge pages
//   -          nobody's: a hole, or reserved

extension Machine {
  /// The frames of `range` as one line of the notation above.
  public func picture(_ range: Range<Int>) -> String {
    var line = ""
    var at = range.lowerBound
    while at < range.upperBound {
      guard let (start, state) = block(containing: PFN(at)) else {
        line += "-"
        at += 1
        continue
      }
      let end = min(start.index + 1 << state.order, range.upperBound)
      switch state.kind {
      case .hugePool: line += String(repeating: "=", count: end - at)
      case .allocated: line += String(repeating: "#", count: end - at)
      case .free, .perCPU, .none:
        let name = Self.name(of: state)
        line += (at == start.index ? name : ".") + String(repeating: ".", count: end - at - 1)
      }
      at = end
    }
    return line
  }

  private static func name(of state: FrameState) -> String {
    if state.kind == .free { return String(state.order, radix: 16, uppercase: true) }
    return ["a", "b", "c", "d"].indices.contains(state.order)
      ? ["a", "b", "c", "d"][state.order] : "e"
  }
}

extension MachineImage {
  /// One Movable pageblock row of a zone DMA32 from frame 4096 on, as drawn; no watermark, no
  /// per-CPU marks.
  ///
  /// - Parameter picture: The first frames; what follows up to `pages` is nobody's.
  public static func drawn(_ picture: String, pages: Int = 2048) -> MachineImage {
    var image = MachineImage.singleAllocated(pages: pages)
    image.allocations = []
    image.zones[0].statThreshold = 0
    image.zones[0].managed = picture.count { $0 != "-" }
    for (offset, character) in picture.enumerated() {
      let pfn = 4096 + offset
      switch character {
      case "#":
        image.allocations.append(
          Allocation(pfn: pfn, order: 0, owner: 0, isLRU: false, isDriverMovable: false))
      case "0"..."9", "A":
        let order = character.hexDigitValue!
        image.zones[0].freeLists[order][.movable, default: []].append(pfn)
        image.zones[0].freePages += 1 << order
      default: break
      }
    }
    return image
  }
}
