// Pages larger than the buddy's largest block (rule P5.30). They come from the CMA area that
// hugetlb_cma= reserved on their node, or out of the middle of a zone.

extension MachineConfiguration {
  /// The CMA areas that hugetlb_cma= asks for: those of the nodes that it names, or as much as
  /// possible on the first nodes.
  ///
  /// Kernel: `hugetlb_cma_reserve()`; areas are named hugetlb0, hugetlb1 and so on.
  func hugetlbCMARequests() throws(MemoryError) -> [CMARequest] {
    let unit = 1 << geometry.giganticOrder
    func roundedUp(_ pages: Int) -> Int { (pages + unit - 1) / unit * unit }
    var sizes: [Int] = []
    switch hugetlbCMA {
    case .total(let pages):
      if pages > 0 { try checkHugetlbCMA(pages) }
      let perNode = roundedUp((pages + nodes.count - 1) / nodes.count)
      var left = pages
      for _ in nodes {
        sizes.append(roundedUp(max(0, min(perNode, left))))
        left -= perNode
      }
    case .perNode(let pages):
      guard pages.count <= nodes.count else {
        throw MemoryError(
          .configuration,
          "hugetlb_cma names node \(pages.count - 1); this machine has 0 to \(nodes.count - 1)")
      }
      for size in pages where size > 0 { try checkHugetlbCMA(size) }
      sizes = pages.map(roundedUp)
    }
    return sizes.enumerated().filter { $0.element > 0 }.map { node, pages in
      var request = CMARequest(
        name: "hugetlb\(node)", pages: pages, orderPerBit: geometry.hugeOrder)
      request.alignment = unit
      request.node = node
      return request
    }
  }

  private func checkHugetlbCMA(_ pages: Int) throws(MemoryError) {
    let unit = 1 << geometry.giganticOrder
    guard pages >= unit, pages <= 1 << 31, hasCMA else {
      throw MemoryError(
        .configuration,
        "hugetlb_cma = \(pages) pages: give one gigantic page of \(unit) pages or more, and a "
          + "kernel with CONFIG_CMA")
    }
  }
}

extension Machine {
  /// The CMA area for gigantic pages of a node.
  ///
  /// Kernel: `hugetlb_cma[]`.
  private func hugetlbArea(node: Int) -> Int? { cmaArea(named: "hugetlb\(node)") }

  /// Kernel: `alloc_gigantic_folio()`, mm/hugetlb.c.
  mutating func allocateGiganticPage(
    order: Int, _ gfp: GFPFlags, node: Int
  ) -> AllocationResult {
    let others = gfp.contains(.thisNode) ? [] : nodesWithMemory.filter { $0 != node }
    for home in [node] + others {
      guard !isCMAMutexHeld, let area = hugetlbArea(node: home) else { continue }
      var call = CMAAllocation(
        area: area, pages: 1 << order, alignment: order, noWarn: gfp.contains(.noWarn))
      if call.run(&self) == nil { call.interrupt(&self) }
      if let pfn = call.outcome?.pfn {
        joinPages(pfn, order: order)
        return .page(pfn)
      }
    }
    if let pfn = allocateContiguousPages(order: order, gfp, node: node) {
      joinPages(pfn, order: order)
      return .page(pfn)
    }
    return .refused(
      Refusal(
        .ENOMEM,
        "no range of \(1 << order) pages on a border of as many is free, or can be emptied",
        rule: "P5.30"))
  }

  /// The first aligned range of a zone that can be emptied.
  ///
  /// Kernel: `alloc_contig_pages()`, mm/page_alloc.c.
  private mutating func allocateContiguousPages(
    order: Int, _ gfp: GFPFlags, node: Int
  ) -> PFN? {
    let pages = 1 << order
    for zone in zonelists[node]
    where zoneTable[zone].indexRawValue <= gfp.highestZone.rawValue
      && (!gfp.contains(.thisNode) || zoneTable[zone].node == node)
    {
      let span = zoneTable[zone].range
      var start = (span.start + pages - 1) & ~(pages - 1)
      while start + pages <= span.end {
        let range = PFNRange(start, start + pages)
        start += pages
        guard mayBecomeGigantic(range, zone) else { continue }
        var call = ContiguousAllocation(
          range, .contiguousPages, owner: UInt8(ascii: "K"), noWarn: gfp.contains(.noWarn))
        // It waits only for folios that somebody has isolated, and that is a page in use, too.
        if call.run(&self) == nil { call.interrupt(&self) }
        if call.outcome?.refusal == nil { return PFN(range.start) }
      }
    }
    return nil
  }

  /// Kernel: `pfn_range_valid_contig()`.
  private func mayBecomeGigantic(_ range: PFNRange, _ zone: Int) -> Bool {
    guard memory.contains(where: { $0.intersection(range).count == range.count }),
      !reserved.contains(where: { $0.start < range.end && range.start < $0.end }),
      block(containing: PFN(range.start)).map({ $0.state.order <= geometry.maxOrder }) ?? false
    else { return false }
    for at in stride(from: range.start, to: range.end, by: geometry.pageblockPages)
    where frames.zone(of: PFN(at)) != zone
      || block(containing: PFN(at))?.state.isHugetlb ?? false
    {
      return false
    }
    return true
  }

  /// Makes pages that were taken one by one one block.
  ///
  /// Kernel: `prep_compound_page()`.
  private mutating func joinPages(_ pfn: PFN, order: Int) {
    for index in pfn.index..<pfn.index + 1 << order { frames.clearHead(PFN(index), order: 0) }
    frames.setHead(pfn, Self.usedHugePage(order))
  }

  /// Frees a page that left the pool, pageblock by pageblock and past the per-CPU lists.
  ///
  /// Kernel: `hugetlb_free_folio()`, `cma_free_folio()`, `split_large_buddy()`.
  mutating func freeGiganticPage(_ pfn: PFN, order: Int) {
    trace.append(TraceEvent(.pageFree, pfn, order: order))
    frames.clearHead(pfn, order: order)
    guard let zone = frames.zone(of: pfn) else { return }
    let pages = 1 << order
    for at in stride(from: pfn.index, to: pfn.index + pages, by: geometry.pageblockPages) {
      freeOnePage(zone, PFN(at), order: geometry.pageblockOrder)
    }
    if let area = hugetlbArea(node: zoneTable[zone].node), cmaAreas[area].range.contains(pfn) {
      let bit = cmaAreas[area].bit(of: pfn)
      cmaBitmap.clear(bit..<bit + cmaAreas[area].bits(forPages: pages), cmaAreas[area])
      cmaAreas[area].releasedPages += pages
      trace.append(TraceEvent(.cmaRelease, pfn, order: 0, UInt32(pages), UInt32(area)))
    }
  }
}
