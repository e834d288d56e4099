extension Machine {
  /// A new file; its creator holds it until ``dropUser(_:)``.
  ///
  /// - Parameter pages: Its size in pages.
  package mutating func createFile(
    _ kind: MemoryFile.Kind, name: String, pages: Int
  ) -> Result<Int, Refusal> {
    let unit = if case .hugetlb(let order) = kind { 1 << order } else { 1 }
    guard pages >= 0, pages <= Self.areaPagesLimit, pages % unit == 0 else {
      return .failure(
        Refusal(.EINVAL, "a file of \(pages) pages; ask for whole units of \(unit)", rule: "P2.2"))
    }
    files.append(MemoryFile(kind: kind, name: name, pages: pages))
    return .success(files.count - 1)
  }

  /// Lets a descriptor or an area of a file go; with the last its pages go, too.
  ///
  /// Kernel: `iput()`, `shmem_evict_inode()`.
  package mutating func dropUser(_ file: Int) {
    files[file].users -= 1
    if files[file].users == 0 { truncate(file, 0..<files[file].chunks.count << 9) }
  }

  /// Takes cached pages out of a file, folio by folio, ascending.
  ///
  /// A folio that is only partly in the range stays. Nothing may map the pages.
  ///
  /// Kernel: `truncate_inode_pages_range()`.
  package mutating func truncate(_ file: Int, _ pages: Range<Int>) {
    if files[file].isHugetlb { return truncateHugetlb(file, pages) }
    drainLRU(cpu: currentCPU)
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard files[file].chunks[page >> 9] != 0 else {
        page = (page | 511) + 1
        continue
      }
      guard let pfn = cachedFrame(file, page: page), let folio = folio(of: pfn) else {
        page += 1
        continue
      }
      let first = page - (pfn.index - folio.head.index)
      if first >= pages.lowerBound, first + folio.pages <= pages.upperBound {
        addReferences(folio, 1)
        uncountCached(folio)
        removeFromCache(folio, file, page: first)
        putReferences(folio, 1)
      }
      page = first + folio.pages
    }
  }

  /// Takes a folio that leaves a cache out of the counters.
  private mutating func uncountCached(_ folio: Folio) {
    let flags = frames.head(folio.head).flags
    count(.filePages, -folio.pages, at: folio.head)
    if flags.contains(.swapBacked) {
      count(.shmem, -folio.pages, at: folio.head)
      if folio.order >= 9 { count(.shmemTHPs, -folio.pages, at: folio.head) }
    } else if flags.contains(.dirty) {
      count(.dirty, -folio.pages, at: folio.head)
      setFlags(folio.head, remove: .dirty)
    }
  }
}
