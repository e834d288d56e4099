extension Machine {
  // MARK: Releasing

  /// Gives pages of `cma_alloc()` back, one by one and ascending, and clears their bits (P5.6).
  ///
  /// They go to this CPU's Movable list, from which the next movable requests take them (AP.5).
  /// Kernel: `cma_release()`.
  ///
  /// - Throws: `.misuse` when the pages are not the area's, or nobody has them; nothing changes then.
  public mutating func cmaRelease(
    area index: Int, _ pfn: PFN, pages: Int
  ) throws(MemoryError) {
    try checkCMARelease(area: index, pfn, pages: pages)
    freePagesOneByOne(PFNRange(pfn.index, pfn.index + pages))
    finishCMARelease(area: index, pfn, pages: pages)
  }

  package func checkCMARelease(area index: Int, _ pfn: PFN, pages: Int) throws(MemoryError) {
    try checkArea(index)
    let area = cmaAreas[index]
    guard pages > 0, pfn.index >= area.base, pages <= area.range.end,
      pfn.index + pages <= area.range.end,
      (pfn.index - area.base) & (1 << area.orderPerBit - 1) == 0
    else {
      throw MemoryError(
        .misuse,
        "\(pages) pages at \(pfn) are not a buffer of area '\(area.name)', which goes from "
          + "0x\(hex(area.base)) to 0x\(hex(area.range.end))")
    }
    try checkLastBit(area, PFNRange(pfn.index, pfn.index + pages))
    for frame in pfn.index..<pfn.index + pages {
      let state = frames.head(PFN(frame))
      guard state.kind == .allocated, state.order == 0, state.owner == FrameState.cmaOwner else {
        throw MemoryError(
          .misuse,
          "\(PFN(frame)) is not a page that cma_alloc handed out; release a buffer once, and with "
            + "its own size")
      }
    }
  }

  /// A bit is cleared with all of its pages or not at all.
  ///
  /// The kernel's own file in debugfs refuses to release part of a buffer for this reason
  /// (`cma_free_mem()`); a driver that did it would leave pages behind that no bit tells of.
  private func checkLastBit(_ area: CMAArea, _ range: PFNRange) throws(MemoryError) {
    let size = 1 << area.orderPerBit
    let rest = range.end..<(range.end + (area.base - range.end) & (size - 1))
    guard let left = rest.first(where: { frames.head(PFN($0)).owner == FrameState.cmaOwner })
    else { return }
    throw MemoryError(
      .misuse,
      "a bit of area '\(area.name)' stands for \(size) pages, and \(PFN(left)) shares one with the "
        + "pages at \(PFN(range.start)); release whole bits, or all of the buffer")
  }

  /// Clears the bits of a buffer whose pages are free, counts and reports.
  package mutating func finishCMARelease(area index: Int, _ pfn: PFN, pages: Int) {
    let area = cmaAreas[index]
    let bit = area.bit(of: pfn)
    cmaBitmap.clear(bit..<bit + area.bits(forPages: pages), area)
    cmaAreas[index].releasedPages += pages
    removeFromCMABuffers(PFNRange(pfn.index, pfn.index + pages))
    trace.append(TraceEvent(.cmaRelease, pfn, order: 0, UInt32(pages), UInt32(index)))
  }

  package func checkArea(_ area: Int) throws(MemoryError) {
    guard cmaAreas.indices.contains(area) else {
      throw MemoryError(
        .misuse,
        cmaAreas.isEmpty
          ? "this machine has no CMA area; boot it with one"
          : "area \(area) does not exist; this machine has 0 to \(cmaAreas.count - 1)")
    }
  }

  /// Kernel: `cma_debug_show_areas()`, and the line before it in `__cma_alloc()`.
  ///
  /// The kernel leaves out the first line when there were more than ten in five seconds; the model
  /// has no clock and prints all.
  mutating func logCMAFailure(area index: Int, pages: Int, _ errno: Errno) {
    let area = cmaAreas[index]
    log.append(
      "cma: __cma_alloc: \(area.name): alloc failed, req-size: \(pages) pages, "
        + "ret: -\(errno.rawValue)")
    log.append("cma: number of available pages: ")
    var total = 0
    for run in cmaBitmap.clearRuns(area) {
      let free = run.count << area.orderPerBit
      log.append(continuing: "\(total > 0 ? "+" : "")\(free)@\(run.lowerBound)")
      total += free
    }
    log.append(continuing: "=> \(total) free of \(area.pages) total pages")
  }

  // MARK: Reading

  /// The first area of this name.
  public func cmaArea(named name: some StringProtocol) -> Int? {
    cmaAreas.firstIndex { $0.name == name }
  }

  /// The runs of set bits in an area's bitmap, ascending; a bit stands for `1 << orderPerBit` pages.
  public func cmaSetRuns(area: Int) -> [Range<Int>] { cmaBitmap.setRuns(cmaAreas[area]) }

  /// Pages behind set bits.
  ///
  /// Kernel: `used` of the area's debugfs folder.
  public func cmaUsed(area: Int) -> Int {
    cmaSetRuns(area: area).reduce(0) { $0 + $1.count } << cmaAreas[area].orderPerBit
  }

  /// Pages of the longest run of clear bits.
  ///
  /// Kernel: `maxchunk` of the area's debugfs folder.
  public func cmaLargestRun(area: Int) -> Int {
    (cmaBitmap.clearRuns(cmaAreas[area]).map(\.count).max() ?? 0) << cmaAreas[area].orderPerBit
  }

  /// The area that a frame lies in, or nil.
  public func cmaArea(containing pfn: PFN) -> Int? {
    cmaAreas.firstIndex { $0.range.contains(pfn) }
  }
}
