extension Machine {
  /// Frees pages of an `alloc_contig_range()`, ascending, one by one (rule A6.24).
  ///
  /// Kernel: `free_contig_range()`.
  ///
  /// - Throws: `.misuse` naming the first frame that is not a page in use of its own; nothing is
  ///   freed then.
  public mutating func freeContiguous(_ range: PFNRange) throws(MemoryError) {
    try checkContiguous(range)
    for pfn in range.start..<range.end {
      let state = frames.head(PFN(pfn))
      guard state.kind == .allocated, state.order == 0, state.owner != FrameState.cmaOwner else {
        throw MemoryError(
          .misuse,
          "\(PFN(pfn)) is not a page of a contiguous range; free the range as it was allocated")
      }
    }
    freePagesOneByOne(range)
  }

  package func checkContiguous(_ range: PFNRange) throws(MemoryError) {
    guard !range.isEmpty, range.start >= 0, range.end <= frames.count,
      let zone = frames.zone(of: PFN(range.start)), zoneTable[zone].range.start <= range.start,
      zoneTable[zone].range.end >= range.end
    else {
      throw MemoryError(
        .misuse,
        "frames 0x\(hex(max(0, range.start))) to 0x\(hex(max(0, range.end))) are not a range inside "
          + "one zone; give a start and an end between the zone's")
    }
  }
}
