// read(), write() and fsync() of a file on a disk, as far as memory sees them.

extension Machine {
  /// Reads pages of a file into its cache, and marks those that were there as accessed.
  ///
  /// Kernel: `filemap_read()`, `folio_mark_accessed()`.
  package mutating func readFile(_ file: Int, _ pages: Range<Int>) -> FaultRun {
    var run = FaultRun(done: 0)
    for page in pages {
      if let pfn = cachedFrame(file, page: page), let folio = folio(of: pfn) {
        markAccessed(folio)
      } else if case .failure(let refusal) = cachePage(
        file, page, area: nil, at: 0, inPinScope: false)
      {
        run.refusal = refusal
        return run
      }
      run.done += 1
    }
    return run
  }

  /// Writes the dirty pages of a file to its disk, at once.
  ///
  /// Kernel: `filemap_write_and_wait()`.
  ///
  /// - Returns: Pages written.
  package mutating func writeBack(_ file: Int) -> Int {
    var written = 0
    forEachCached(file, from: 0) { machine, folio, _ in
      let flags = machine.frames.head(folio.head).flags
      // A page that is mapped for writing is dirty again with the next store; its entries are clean now.
      for place in machine.mappings(of: folio)
      where machine.pageTables[place.slot].flags.contains(.dirty) {
        machine.pageTables[place.slot].flags.remove(.dirty)
        machine.markDirty(folio)
      }
      guard machine.frames.head(folio.head).flags.contains(.dirty) || flags.contains(.dirty) else {
        return true
      }
      machine.setFlags(folio.head, remove: .dirty)
      machine.count(.dirty, -folio.pages, at: folio.head)
      written += folio.pages
      return true
    }
    return written
  }

  /// Calls a function for each cached folio from a page on, ascending, until it returns false.
  package mutating func forEachCached(
    _ file: Int, from first: Int, _ body: (inout Machine, Folio, _ page: Int) -> Bool
  ) {
    var page = first
    while page < files[file].chunks.count << 9 {
      guard files[file].chunks[page >> 9] != 0 else {
        page = (page | 511) + 1
        continue
      }
      guard let pfn = cachedFrame(file, page: page), let folio = folio(of: pfn) else {
        page += 1
        continue
      }
      let start = page - (pfn.index - folio.head.index)
      if !body(&self, folio, start) { return }
      page = start + folio.pages
    }
  }

  /// Takes a clean folio that only its file, its LRU list and the caller know out of its file.
  ///
  /// Kernel: `mapping_evict_folio()`.
  ///
  /// - Returns: False when it is dirty, mapped, pinned or referenced otherwise.
  package mutating func evictFromCache(_ folio: Folio) -> Bool {
    let (mapping, index) = folios.owner(folio)
    guard let file = mapping.fileIndex,
      frames.head(folio.head).flags.isDisjoint(with: [.dirty, .writeback]),
      folios.references(folio) <= folio.pages + 1
    else { return false }
    uncountCached(folio)
    removeFromCache(folio, file, page: index)
    return true
  }
}
