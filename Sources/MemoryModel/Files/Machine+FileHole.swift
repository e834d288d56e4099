extension Machine {
  /// Fills a page of a shmem or hugetlb file that its cache lacks, for a pin of the file.
  ///
  /// Kernel: `memfd_alloc_folio()`, mm/memfd.c (rule P3.70). A hugetlb page is one that some shared
  /// mapping was promised, and is asked for without __GFP_MOVABLE; no promise is refused, where the
  /// kernel's count would fall below 0.
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

  /// Says that a record holds one pin a folio.
  package mutating func markPerFolio(_ pin: Int) {
    if let index = pinIndex(pin) { pins[index].isPerFolio = true }
  }

  /// Pins a folio once, and writes it down by its head.
  package mutating func pinWhole(_ folio: Folio, _ out: inout PinCursor) -> Bool {
    guard grab(folio, 1, .pin) else { return false }
    write(folio, folio.head, 1, &out)
    return true
  }
}
