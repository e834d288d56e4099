extension Machine {
  /// Fills a page of a shmem or hugetlb file that its cache lacks, for a pin of the file.
  ///
  /// A hugetlb page is asked for without __GFP_MOVABLE and uses up a promise, no matter whose: 6.12
  /// does not look whether the file has one. Then the pool's count is too small, below 0 even, until
  /// the page leaves the file.
  ///
  /// Kernel: `memfd_alloc_folio()`, mm/memfd.c, and `alloc_hugetlb_folio_reserve()` (rule P3.70).
  package mutating func fillHole(
    _ file: Int, page: Int, inPinScope: Bool
  ) -> Result<PFN, Refusal> {
    let order = files[file].hugeOrder
    guard let pool = hugePoolIndex(order: order) else {
      return cachePage(file, page, area: nil, at: 0, inPinScope: inPinScope)
    }
    let gfp = hugePageGFP(pool).subtracting([.highMem, .movable])
    guard let pfn = takeReservedHugePage(order: order, gfp: gfp, inPinScope: inPinScope) else {
      return .failure(
        Refusal(
          .ENOMEM,
          "no huge page for page \(page) of \(files[file].name): \(hugePools[pool].free) free, "
            + "\(hugePools[pool].reserved) promised"
            + (inPinScope ? ", and none that may be pinned for long" : ""), rule: "P3.70"))
    }
    let folio = Folio(pfn, order: order)
    makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "H"), .hugetlb)
    addHugeToCache(folio, file, page: page)
    putReferences(folio, 1)
    return .success(pfn)
  }

  /// Says that a record holds one pin a folio of a file.
  package mutating func markPerFolio(_ pin: Int, file: Int) {
    if let index = pinIndex(pin) { pins[index].file = file }
  }

  /// Notes what came of the call that pinned folios of a file.
  package mutating func describeFilePin(
    _ pin: Int, requested: Int, offset: Int, _ costs: OperationCosts
  ) {
    describePin(pin, requested: requested, isFast: false, costs, shortfall: nil)
    if let index = pinIndex(pin) { pins[index].offset = offset }
  }

  /// Pins a folio once, and writes it down by its head.
  package mutating func pinWhole(_ folio: Folio, _ out: inout PinCursor) -> Bool {
    guard grab(folio, 1, .pin) else { return false }
    write(folio, folio.head, 1, &out)
    return true
  }
}
