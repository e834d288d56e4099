/// One place where a page table shows a folio, or will show it again after a migration.
package struct Mapping: Hashable, Sendable {
  package let space: Int
  /// The page of the address space at which the entry stands.
  package let page: Int
  package let slot: Int
  package let level: PageTableLevel
}

extension Machine {
  /// Every entry that maps a page of a folio or waits for its migration, process by process,
  /// addresses ascending.
  ///
  /// Kernel: `rmap_walk()`, `page_vma_mapped_walk()`, mm/rmap.c.
  package func mappings(of folio: Folio) -> [Mapping] {
    var found: [Mapping] = []
    forEachMapping(of: folio) { found.append($0) }
    return found
  }

  /// The migration entries for pages of `source`, whose identity `owner` has by now.
  ///
  /// They are looked for anew, because meanwhile a process may have unmapped the page, ended, or been
  /// copied with its entries. Kernel: `remove_migration_ptes()`, mm/migrate.c.
  package func migrationEntries(of source: Folio, owner: Folio) -> [Mapping] {
    var found: [Mapping] = []
    forEachMapping(of: owner, shown: source) {
      if PageTableEntry(rawValue: pageTables.entries[$0.slot]).isMigration { found.append($0) }
    }
    return found
  }

  package func forEachMapping(
    of folio: Folio, shown: Folio? = nil, _ body: (Mapping) -> Void
  ) {
    let shown = shown ?? folio
    let (mapping, index) = folios.owner(folio)
    if let region = mapping.region {
      let page = regions[region].base + index
      for space in regions[region].spaces {
        collect(shown, space, page..<page + folio.pages, body)
      }
    } else if let file = mapping.fileIndex {
      for space in files[file].spaces {
        for area in spaces[space].areas where area.file == file {
          // A private area shows the file's page only where it has no copy of its own; the entry's
          // frame tells.
          let first = area.start + index - area.filePage(area.start)
          let start = max(first, area.start)
          let end = min(first + folio.pages, area.end)
          if start < end { collect(shown, space, start..<end, body) }
        }
      }
    }
  }

  private func collect(
    _ folio: Folio, _ space: Int, _ pages: Range<Int>, _ body: (Mapping) -> Void
  ) {
    guard spaces[space].isAlive else { return }
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      let start = page & ~((1 << level.order) - 1)
      if entry.isPresent || entry.isMigration, folio.contains(entry.pfn) {
        body(Mapping(space: space, page: start, slot: slot, level: level))
      }
      page = start + 1 << level.order
    }
  }
}
