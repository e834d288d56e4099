extension Machine {
  /// Maps frames that were allocated as plain pages as private anonymous memory, without faults.
  ///
  /// For placements that no sequence of faults gives, such as pages in shuffled frames. Each
  /// becomes a folio with one mapping, as a write fault makes it, and is queued for the LRU lists.
  ///
  /// - Precondition: The pages lie in one private anonymous area, and nothing is mapped there.
  /// - Returns: How many were mapped; fewer when no frame is left for page tables.
  package mutating func installAnonymous(_ space: Int, page first: Int, _ frames: [PFN]) -> Int {
    guard let area = spaces[space].areaIndex(first) else { return 0 }
    let region = prepareRegion(space, area: area)
    let done = installAnonymous(space, page: first, frames, region)
    for pfn in frames[..<done] { addToLRU(pfn) }
    return done
  }

  /// The same in a region, without the LRU lists.
  ///
  /// - Returns: How many were mapped; fewer when no frame is left for page tables.
  package mutating func installAnonymous(
    _ space: Int, page first: Int, _ frames: [PFN], _ region: Int
  ) -> Int {
    let flags: PageTableEntry.Flags = [.present, .write, .dirty, .young, .exclusive]
    let base = regions[region].base
    var done = 0
    while done < frames.count {
      let page = first + done
      guard let table = makeTable(space, page: page, level: .pte) else { break }
      let count = min(frames.count - done, 512 - page & 511)
      for offset in 0..<count {
        let pfn = frames[done + offset]
        pageTables[table * PageTables.entriesPerTable + (page + offset) & 511] = PageTableEntry(
          pfn, flags)
        let folio = Folio(pfn, order: 0)
        makeFolio(
          folio, .anonymous(region), index: page + offset - base, owner: UInt8(ascii: "A"),
          [.swapBacked, .active])
        folios.addPageMapping(pfn, of: folio, 1)
      }
      self.count(.anonMapped, count, at: frames[done])
      done += count
    }
    spaces[space].anonymousPages += done
    return done
  }

  /// Lets a process show an anonymous page of a recorded state, which it had mapped already.
  package mutating func adoptAnonymous(_ space: Int, page: Int, _ pfn: PFN) {
    guard let index = spaces[space].areaIndex(page),
      let table = makeTable(space, page: page, level: .pte, charged: false)
    else { return }
    let region = prepareRegion(space, area: index)
    folios.setOwner(
      Folio(pfn, order: 0), .anonymous(region), index: page - regions[region].base)
    pageTables[table * PageTables.entriesPerTable + page & 511] = PageTableEntry(
      pfn, [.present, .write, .dirty, .young, .exclusive])
    spaces[space].anonymousPages += 1
  }

  /// Lets a process show a page of a file that the model does not hold, of a recorded state.
  package mutating func adoptFilePage(_ space: Int, page: Int, _ pfn: PFN) {
    guard case .success = mapArea(space, start: page, pages: 1, [.read], .anonymous),
      let table = makeTable(space, page: page, level: .pte, charged: false)
    else { return }
    let folio = Folio(pfn, order: 0)
    pageTables[table * PageTables.entriesPerTable + page & 511] = PageTableEntry(
      pfn, [.present, .young])
    addReferences(folio, 1)
    addPageMapping(pfn, of: folio, 1)
    countResident(space, folio, 1)
  }

  package mutating func addRegion(base: Int, space: Int) -> Int {
    regions.append(AnonymousRegion(base: base, spaces: [space]))
    return regions.count - 1
  }
}
