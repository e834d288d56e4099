// Invariant: the areas of a process are sorted and do not overlap, and two neighbours that could be
// one are one. A PMD leaf of anonymous memory never crosses the border of an area.

extension Machine {
  /// `sysctl_max_map_count`.
  static var areaLimit: Int { 65530 }
  /// Where areas without an address are placed, ascending: from address 0x7f0000000000, and when
  /// no gap is left behind it, from 4 GiB.
  static var placementStarts: [Int] { [0x7_f000_0000, 0x10_0000] }
  /// The model's limit for one area, 8 TiB: an index into a region has 32 bits.
  static var areaPagesLimit: Int { 1 << 31 }

  /// Maps memory into a process.
  ///
  /// Kernel: `do_mmap()`, `mmap_region()`; nothing is populated.
  ///
  /// - Parameter start: The first page (MAP_FIXED_NOREPLACE), or nil for the first place that fits.
  /// - Parameter pages: The length.
  /// - Parameter replacing: MAP_FIXED: what is mapped there goes.
  /// - Returns: The first page, or EINVAL, ENOMEM, EEXIST.
  package mutating func mapArea(
    _ space: Int, start: Int? = nil, pages: Int, _ flags: MemoryArea.Flags,
    _ backing: MemoryArea.Backing, replacing: Bool = false
  ) -> Result<Int, Refusal> {
    guard spaces[space].isAlive else {
      return .failure(Refusal(.ESRCH, "process \(space) is gone", rule: "P2.1"))
    }
    if let refusal = checkMapping(pages: pages, flags, backing) { return .failure(refusal) }
    let unit = placementUnit(pages: pages, backing)
    if let start {
      guard start >= 0, start & (hugetlbUnit(backing) - 1) == 0 else {
        return .failure(
          Refusal(
            .EINVAL,
            "address 0x\(hex(start << geometry.pageShift)) is not aligned to the pages of the mapping",
            rule: "P2.2"))
      }
      guard start + pages <= AddressSpace.endPage else {
        return .failure(
          Refusal(
            .ENOMEM,
            "0x\(hex(start << geometry.pageShift)) + \(pages) pages ends behind user space",
            rule: "P2.1"))
      }
      let next = spaces[space].firstArea(endingAfter: start)
      if next < spaces[space].areas.count, spaces[space].areas[next].start < start + pages {
        guard replacing else {
          return .failure(
            Refusal(
              .EEXIST,
              "0x\(hex(spaces[space].areas[next].start << geometry.pageShift)) is mapped already; munmap it first",
              rule: "P2.2"))
        }
        if case .failure(let refusal) = unmap(space, start..<start + pages) {
          return .failure(refusal)
        }
      }
    }
    guard spaces[space].areas.count < Self.areaLimit else {
      return .failure(
        Refusal(.ENOMEM, "the process has \(Self.areaLimit) areas, the most", rule: "P2.2"))
    }
    guard let place = start ?? findPlace(space, pages: pages, unit: unit) else {
      return .failure(
        Refusal(.ENOMEM, "no gap of \(pages) pages is left in the address space", rule: "P2.1"))
    }
    var area = MemoryArea(start: place, end: place + pages, flags: flags, backing: backing)
    if flags.contains(.write) || !flags.contains(.shared) { area.flags.insert(.mayWrite) }
    if isHugetlb(area) { area.flags.remove(.locked) }
    if let refusal = reserveHugePages(for: &area) { return .failure(refusal) }
    if let file = area.file {
      if !files[file].spaces.contains(space) { files[file].spaces.append(space) }
      files[file].users += 1
    }
    let index = spaces[space].firstArea(endingAfter: place)
    spaces[space].areas.insert(area, at: index)
    if area.flags.contains(.locked) { spaces[space].lockedPages += pages }
    mergeAreas(space, around: index..<index + 1)
    return .success(place)
  }

  private func checkMapping(
    pages: Int, _ flags: MemoryArea.Flags, _ backing: MemoryArea.Backing
  ) -> Refusal? {
    if pages <= 0 {
      return Refusal(.EINVAL, "a mapping of \(pages) pages; ask for one", rule: "P2.2")
    }
    if pages > Self.areaPagesLimit {
      return Refusal(
        .ENOMEM, "\(pages) pages are more than the model's 8 TiB an area", rule: "P2.1")
    }
    guard case .file(let file, let offset) = backing else { return nil }
    if offset < 0 || offset + pages > Self.areaPagesLimit {
      return Refusal(.EINVAL, "page \(offset) is no offset into a file", rule: "P2.2")
    }
    if files[file].kind == .guestMemory {
      return Refusal(
        .ENODEV, "guest_memfd is never mapped: its guest alone reaches it", rule: "P2.2")
    }
    let unit = 1 << files[file].hugeOrder
    if pages % unit != 0 || offset % unit != 0 {
      return Refusal(
        .EINVAL, "\(pages) pages from page \(offset) are not whole huge pages of \(unit) pages",
        rule: "P2.2")
    }
    return nil
  }

  private func hugetlbUnit(_ backing: MemoryArea.Backing) -> Int {
    if case .file(let file, _) = backing { return 1 << files[file].hugeOrder }
    return 1
  }

  /// Anonymous memory of whole 2 MiB is placed so that huge pages fit, and so is shmem that may
  /// have huge pages.
  ///
  /// Kernel: `mm_get_unmapped_area_vmflags()`, `shmem_get_unmapped_area()`.
  private func placementUnit(pages: Int, _ backing: MemoryArea.Backing) -> Int {
    switch backing {
    case .anonymous, .device: return pages % 512 == 0 ? 512 : 1
    case .file(let file, _):
      if files[file].isHugetlb { return 1 << files[file].hugeOrder }
      let policy = files[file].hugePages
      return policy != .never && policy != .deny && pages >= 512 ? 512 : 1
    }
  }

  private func findPlace(_ space: Int, pages: Int, unit: Int) -> Int? {
    for start in Self.placementStarts {
      if let place = findPlace(space, pages: pages, unit: unit, from: start) { return place }
    }
    return nil
  }

  private func findPlace(_ space: Int, pages: Int, unit: Int, from start: Int) -> Int? {
    var place = start
    var index = spaces[space].firstArea(endingAfter: place)
    while true {
      place = (place + unit - 1) & ~(unit - 1)
      if place + pages > AddressSpace.endPage { return nil }
      guard index < spaces[space].areas.count else { return place }
      if place + pages <= spaces[space].areas[index].start { return place }
      place = spaces[space].areas[index].end
      index += 1
    }
  }

  // MARK: Borders

  /// Cuts the area that `page` lies inside of in two there.
  ///
  /// Kernel: `__split_vma()`, `vma_adjust_trans_huge()`: a leaf across the border is split first.
  ///
  /// - Returns: EINVAL when the border lies inside a hugetlb page.
  package mutating func splitArea(_ space: Int, at page: Int) -> Refusal? {
    guard let index = spaces[space].areaIndex(page), spaces[space].areas[index].start < page
    else { return nil }
    let area = spaces[space].areas[index]
    if let file = area.file {
      let unit = 1 << files[file].hugeOrder
      if page & (unit - 1) != 0 {
        return Refusal(
          .EINVAL,
          "0x\(hex(page << geometry.pageShift)) lies inside a hugetlb page of \(unit) pages",
          rule: "P2.2")
      }
      files[file].users += 1
      if let reservation = area.reservation { hugeReservations[reservation].areas += 1 }
    }
    if page & 511 != 0 { splitLeaf(space, page: page) }
    spaces[space].areas[index] = area.part(area.start, page)
    spaces[space].areas.insert(area.part(page, area.end), at: index + 1)
    return nil
  }

  /// Cuts at both ends of a range.
  package mutating func splitAreas(_ space: Int, _ pages: Range<Int>) -> Refusal? {
    splitArea(space, at: pages.lowerBound) ?? splitArea(space, at: pages.upperBound)
  }

  /// Joins the areas of `indices` with each other and with both neighbours where they fit.
  ///
  /// Kernel: `vma_merge()`.
  package mutating func mergeAreas(_ space: Int, around indices: Range<Int>) {
    var index = min(indices.upperBound, spaces[space].areas.count - 1)
    while index > max(0, indices.lowerBound - 1), index > 0 {
      let one = spaces[space].areas[index - 1]
      let other = spaces[space].areas[index]
      if fits(one, other) {
        spaces[space].areas[index - 1].end = other.end
        if one.region == nil { spaces[space].areas[index - 1].region = other.region }
        spaces[space].areas.remove(at: index)
        if let file = one.file { files[file].users -= 1 }
      }
      index -= 1
    }
  }

  private func fits(_ one: MemoryArea, _ other: MemoryArea) -> Bool {
    guard one.end == other.start, one.flags == other.flags,
      one.flags.isDisjoint(with: [.io, .pfnMap]), other.end - one.start <= Self.areaPagesLimit,
      one.region == nil || other.region == nil || one.region == other.region
    else { return false }
    switch (one.backing, other.backing) {
    case (.anonymous, .anonymous): break
    case (.file(let file, _), .file(let next, let offset)):
      guard file == next, !files[file].isHugetlb, offset == one.filePage(one.end) else {
        return false
      }
    default: return false
    }
    // A region numbers its pages from its base.
    if let region = one.region ?? other.region { return one.start >= regions[region].base }
    return true
  }

  /// The region in which private pages of an area are looked up, made at the first use.
  ///
  /// Kernel: `__anon_vma_prepare()`; a neighbour that this area could be joined with lends its own.
  package mutating func prepareRegion(_ space: Int, area index: Int) -> Int {
    if let region = spaces[space].areas[index].region { return region }
    let start = spaces[space].areas[index].start
    let region = neighbourRegion(space, index) ?? regions.count
    if region == regions.count {
      // Room below, for areas that are joined from there.
      regions.append(AnonymousRegion(base: max(0, start - Self.areaPagesLimit), spaces: [space]))
    }
    spaces[space].areas[index].region = region
    return region
  }

  /// Kernel: `find_mergeable_anon_vma()`.
  private func neighbourRegion(_ space: Int, _ index: Int) -> Int? {
    let area = spaces[space].areas[index]
    for neighbour in [index + 1, index - 1] where spaces[space].areas.indices.contains(neighbour) {
      let other = spaces[space].areas[neighbour]
      guard let region = other.region, regions[region].spaces == [space],
        other.end == area.start || other.start == area.end, area.start >= regions[region].base,
        area.end - regions[region].base <= 1 << 32,
        area.flags.symmetricDifference(other.flags).isSubset(of: [.read, .write])
      else { continue }
      switch (area.backing, other.backing) {
      case (.anonymous, .anonymous): return region
      default: continue
      }
    }
    return nil
  }

  /// Pages of `pages` that no area covers come first in this answer.
  ///
  /// Kernel: the walks of mprotect, madvise and mlock end with ENOMEM there.
  package func firstHole(_ space: Int, _ pages: Range<Int>) -> Int? {
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard let area = spaces[space].area(page) else { return page }
      page = area.end
    }
    return nil
  }
}
