// Invariant: chunk c holds entries 512·c ..< 512·c + 512, each a pfn + 1, 0 for no page, or the slot of a
// page that is swapped out. Chunks that are not in use are all zero but for the link in their first entry.

/// Which frame holds which page of each file, in chunks of 512 pages.
///
/// Kernel: `address_space->i_pages`, an xarray.
package struct PageCache: ~Copyable {
  package var entries: Arena<UInt32>
  private var used = 0
  private var firstFree = 0
  /// Whether entries may name slots: the machine has swap space.
  let holdsSwapped: Bool

  static let chunkPages = 512
  /// Of an entry that names a slot of the swap space; a machine with swap has no frame that high.
  static let swapBit: UInt32 = 0x8000_0000
  /// 8 TiB of file pages; 8 GiB of address space here.
  static let capacityLimit = 1 << 22

  init(frameCount: Int, holdsSwapped: Bool) throws(MemoryError) {
    self.holdsSwapped = holdsSwapped
    // A chunk holds at least one page, and every page needs a frame of its own.
    entries = try Arena(count: min(max(frameCount, 64), Self.capacityLimit) * Self.chunkPages)
  }

  mutating func assign(from other: borrowing PageCache, goesOn: () -> Bool) {
    entries.assign(
      from: other.entries, prefix: max(used, other.used) * Self.chunkPages, goesOn: goesOn)
    extent = other.extent
  }

  mutating func note(in journal: Journal?) { entries.note(in: journal) }

  /// What is not in the table.
  var extent: TableExtent {
    get { TableExtent(used: used, firstFree: firstFree) }
    set {
      used = newValue.used
      firstFree = newValue.firstFree
    }
  }

  /// A chunk without pages, or nil when the model's room is used up.
  mutating func add() -> Int? {
    if firstFree != 0 {
      let chunk = firstFree - 1
      firstFree = Int(entries[chunk * Self.chunkPages])
      entries[chunk * Self.chunkPages] = 0
      return chunk
    }
    guard (used + 1) * Self.chunkPages <= entries.count else { return nil }
    defer { used += 1 }
    return used
  }

  /// Whether a place names a frame.
  func hasFrame(_ slot: Int) -> Bool {
    let entry = entries[slot]
    return entry != 0 && (!holdsSwapped || entry & Self.swapBit == 0)
  }

  /// How many places from `slot` on are empty, at most `limit`.
  func countNone(from slot: Int, limit: Int) -> Int {
    entries.countPassing(from: slot, step: 1, limit: limit) { entry, _ in entry == 0 }
  }

  /// The pages at the beginning of some places, as long as their frames follow each other in one
  /// direction; empty when the first place is.
  func run(from slot: Int, limit: Int) -> PFNRun {
    let first = Int(entries[slot]) - 1
    if first < 0 || limit <= 0 || !hasFrame(slot) { return PFNRun(PFN(0), count: 0) }
    var step = 1
    if limit > 1, Int(entries[slot + 1]) == first { step = -1 }
    let count = entries.countPassing(from: slot, step: 1, limit: limit) { entry, index in
      Int(entry) == first + 1 + (index - slot) * step && entry != 0
    }
    return PFNRun(PFN(first), count: count, descending: step < 0 && count > 1)
  }

  /// Puts the pages of a run into consecutive places.
  mutating func show(_ run: PFNRun, from slot: Int) {
    let first = run.first.index + 1
    let step = run.step
    entries.update(slot..<slot + run.count) {
      UInt32(truncatingIfNeeded: first &+ ($0 &- slot) &* step)
    }
  }

  mutating func clear(_ slot: Int, count: Int) { entries.fill(slot..<slot + count, with: 0) }

  mutating func remove(_ chunk: Int) {
    entries.fill(chunk * Self.chunkPages..<(chunk + 1) * Self.chunkPages, with: 0)
    entries[chunk * Self.chunkPages] = UInt32(firstFree)
    firstFree = chunk + 1
  }
}

extension Machine {
  /// The frame of a file's page, if it is cached; a huge page may reach behind the file's end.
  public func cachedFrame(_ file: Int, page: Int) -> PFN? {
    guard page >= 0, page >> 9 < files[file].chunks.count else { return nil }
    let chunk = files[file].chunks[page >> 9]
    if chunk == 0 { return nil }
    if chunk & MemoryFile.hugeChunk != 0 {
      return PFN((chunk & ~MemoryFile.hugeChunk) << 9) + page & 511
    }
    let place = (Int(chunk) - 1) << 9 | page & 511
    return pageCache.hasFrame(place) ? PFN(pageCache.entries[place] - 1) : nil
  }

  /// The place of a file's page in the cache; nil in a chunk that has none or holds a huge page.
  func cacheSlot(_ file: Int, page: Int) -> Int? {
    guard page >= 0, page >> 9 < files[file].chunks.count else { return nil }
    let chunk = files[file].chunks[page >> 9]
    if chunk == 0 || chunk & MemoryFile.hugeChunk != 0 { return nil }
    return (Int(chunk) - 1) << 9 | page & 511
  }

  /// Puts a folio into a file's cache at `page`, which its order divides.
  ///
  /// The cache holds one reference for each of its pages (rule P1.1).
  ///
  /// - Returns: False when the model's room for the cache is used up; nothing happened then.
  package mutating func addToCache(_ folio: Folio, _ file: Int, page: Int) -> Bool {
    guard replaceInCache(folio, file, page: page) else { return false }
    folios.addReferences(folio, folio.pages)
    folios.setOwner(folio, .file(file), index: page)
    files[file].cachedPages += folio.pages
    return true
  }

  /// Lets a file's pages name another folio; counts stay with the caller.
  package mutating func replaceInCache(_ folio: Folio, _ file: Int, page: Int) -> Bool {
    if folio.order >= 9 {
      for chunk in 0..<folio.pages >> 9 {
        files[file].chunks[page >> 9 + chunk] =
          MemoryFile.hugeChunk | UInt32(folio.head.index >> 9 + chunk)
      }
      return true
    }
    if files[file].chunks[page >> 9] & MemoryFile.hugeChunk != 0 {
      files[file].chunks[page >> 9] = 0
    }
    if files[file].chunks[page >> 9] == 0 {
      guard let chunk = pageCache.add() else { return false }
      files[file].chunks[page >> 9] = UInt32(chunk + 1)
    }
    let first = (Int(files[file].chunks[page >> 9]) - 1) << 9 | page & 511
    for offset in 0..<folio.pages {
      pageCache.entries[first + offset] = folio.head.rawValue + UInt32(offset) + 1
    }
    return true
  }

  /// Takes a folio out of its file's cache, with the cache's references.
  ///
  /// The caller holds another reference.
  package mutating func removeFromCache(_ folio: Folio, _ file: Int, page: Int) {
    if folio.order >= 9 {
      for chunk in 0..<folio.pages >> 9 { files[file].chunks[page >> 9 + chunk] = 0 }
    } else {
      let chunk = Int(files[file].chunks[page >> 9]) - 1
      for offset in 0..<folio.pages { pageCache.entries[chunk << 9 | page & 511 + offset] = 0 }
    }
    files[file].cachedPages -= folio.pages
    folios.addReferences(folio, -folio.pages)
    folios.setOwner(folio, .none, index: 0)
  }
}
