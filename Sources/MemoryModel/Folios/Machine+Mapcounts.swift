// Map counts and the counters that follow them (rules P1.2, I8).

extension Machine {
  /// Counts page-table entries that map one page of a folio.
  ///
  /// The folio's references are the caller's. Kernel: `folio_add_rmap_ptes()`,
  /// `folio_remove_rmap_ptes()`, mm/rmap.c.
  package mutating func addPageMapping(_ page: PFN, of folio: Folio, _ change: Int) {
    let before = folios.pageMappings(page)
    folios.addPageMapping(page, of: folio, change)
    let isMappedWhole = folio.order > 0 && folios.entireMappings(folio) > 0
    if !isMappedWhole, (before == 0) != (before + change == 0) {
      countMapped(folio, change > 0 ? 1 : -1)
    }
  }

  /// Counts an entry for every page of a folio.
  package mutating func addPageMappings(_ folio: Folio, _ change: Int) {
    for offset in 0..<folio.pages { addPageMapping(folio.head + offset, of: folio, change) }
  }

  /// Counts leaves that map a whole folio.
  ///
  /// Kernel: `folio_add_rmap_pmd()`, `folio_remove_rmap_pmd()`.
  package mutating func addEntireMapping(_ folio: Folio, _ change: Int) {
    let before = folios.entireMappings(folio)
    folios.addEntireMapping(folio, change)
    guard (before == 0) != (before + change == 0) else { return }
    var pages = folio.pages
    if folios.mappings(folio) > folios.entireMappings(folio) {
      for offset in 0..<folio.pages where folios.pageMappings(folio.head + offset) > 0 {
        pages -= 1
      }
    }
    let sign = change > 0 ? 1 : -1
    countMapped(folio, sign * pages)
    let flags = frames.head(folio.head).flags
    if flags.contains(.hugetlb) { return }
    if folios.owner(folio).mapping.isAnonymous {
      count(.anonTHPs, sign * folio.pages, at: folio.head)
    } else if flags.contains(.swapBacked) {
      count(.shmemPMDMapped, sign * folio.pages, at: folio.head)
    } else {
      count(.filePMDMapped, sign * folio.pages, at: folio.head)
    }
  }

  private mutating func countMapped(_ folio: Folio, _ pages: Int) {
    if frames.head(folio.head).flags.contains(.hugetlb) { return }
    let mapping = folios.owner(folio).mapping
    count(mapping.isAnonymous ? .anonMapped : .fileMapped, pages, at: folio.head)
  }
}
