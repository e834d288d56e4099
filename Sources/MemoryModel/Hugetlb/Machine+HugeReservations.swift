// Who was promised a huge page. A shared mapping's promises belong to its file, whose set names the
// pages that are promised or were handed out. A private mapping's belong to the areas that one mmap
// made, and the set names the pages whose promise is used up: the opposite.

/// The promises to a private mapping, shared by the areas that it was cut into.
///
/// Kernel: `struct resv_map` of a VMA with HPAGE_RESV_OWNER, mm/hugetlb.c.
struct HugeReservation: Sendable, Equatable, Codable {
  var consumed = HugeRegions()
  /// Areas that name it; at 0 its place may be used again.
  var areas = 1
}

extension Machine {
  /// Promises the pages of a hugetlb mapping that is being made.
  ///
  /// Kernel: `hugetlb_reserve_pages()`, and the end of `hugetlbfs_file_mmap()`.
  ///
  /// - Returns: ENOMEM when the pool cannot promise that many.
  mutating func reserveHugePages(for area: inout MemoryArea) -> Refusal? {
    guard case .file(let file, let offset) = area.backing, files[file].isHugetlb,
      let pool = hugePoolIndex(order: files[file].hugeOrder)
    else { return nil }
    let indices = hugeIndices(area)
    if !area.flags.contains(.noReserve) {
      let isShared = area.flags.contains(.shared)
      let needed =
        indices.count - (isShared ? files[file].promised.count(in: indices) : 0)
      if let refusal = promiseHugePages(pool, needed) { return refusal }
      if isShared {
        files[file].promised.add(indices)
      } else {
        area.reservation = addHugeReservation()
      }
    }
    if area.flags.contains(.write) { files[file].grow(to: offset + area.pages) }
    return nil
  }

  private mutating func addHugeReservation() -> Int {
    if let free = hugeReservations.firstIndex(where: { $0.areas == 0 }) {
      hugeReservations[free] = HugeReservation()
      return free
    }
    hugeReservations.append(HugeReservation())
    return hugeReservations.count - 1
  }

  /// Takes back the promises of a private area that is gone.
  ///
  /// Kernel: `hugetlb_vm_op_close()`. A page that is still held, by a pin, may have its promise to
  /// give back when it is freed; until then the pool's count is too small, below 0 even.
  mutating func closeHugeArea(_ area: MemoryArea) {
    guard let reservation = area.reservation, let file = area.file,
      let pool = hugePoolIndex(order: files[file].hugeOrder)
    else { return }
    let indices = hugeIndices(area)
    let unused = indices.count - hugeReservations[reservation].consumed.count(in: indices)
    hugeReservations[reservation].areas -= 1
    if unused > 0 { takeBackPromises(pool, unused) }
  }

  /// The huge pages of its file that an area shows.
  func hugeIndices(_ area: MemoryArea) -> Range<Int> {
    let order = area.file.map { files[$0].hugeOrder } ?? 0
    return area.filePage(area.start) >> order..<area.filePage(area.end) >> order
  }

  func hugeIndex(_ area: MemoryArea, _ page: Int) -> Int {
    area.filePage(page) >> (area.file.map { files[$0].hugeOrder } ?? 0)
  }

  /// Whether an unused promise covers a page of an area.
  ///
  /// Kernel: `vma_needs_reservation()`.
  private func isPromised(_ area: MemoryArea, _ index: Int) -> Bool {
    guard let file = area.file else { return false }
    if area.flags.contains(.shared) { return files[file].promised.contains(index) }
    return area.reservation.map { !hugeReservations[$0].consumed.contains(index) } ?? false
  }

  /// A huge page for a page of an area, in use and with one reference.
  ///
  /// Kernel: `alloc_hugetlb_folio()` (rule P2.36).
  ///
  /// - Parameter isOwnersCopy: It breaks the sharing of a page whose promise is used up already.
  /// - Returns: ENOSPC when there is none, for which a fault raises SIGBUS.
  mutating func allocateHugePage(
    for area: MemoryArea, page: Int, isOwnersCopy: Bool = false, inPinScope: Bool
  ) -> Result<Folio, Refusal> {
    guard let file = area.file else { preconditionFailure("an area without a file") }
    let order = files[file].hugeOrder
    let index = hugeIndex(area, page)
    let usesPromise = !isOwnersCopy && isPromised(area, index)
    switch allocateHugePage(order: order, usingReserve: usesPromise, inPinScope: inPinScope) {
    case .refused(let refusal): return .failure(refusal)
    case .page(let pfn):
      if area.flags.contains(.shared) {
        files[file].promised.add(index..<index + 1)
      } else if let reservation = area.reservation {
        hugeReservations[reservation].consumed.add(index..<index + 1)
      }
      let folio = Folio(pfn, order: order)
      makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "H"), .hugetlb)
      return .success(folio)
    }
  }

  /// Puts the promise for a page back that a fault took and did not use; freeing the page does the
  /// pool's part.
  ///
  /// Kernel: `restore_reserve_on_error()`.
  ///
  /// - Parameter area: Nil when it is gone, with its promises.
  mutating func restorePromise(_ area: MemoryArea?, _ page: Int, _ folio: Folio) {
    let flags = hugePageFlags(folio.head)
    guard let area, let file = area.file, files[file].isHugetlb else {
      setHugePageFlags(folio.head, flags.subtracting(.restoreReserve))
      return
    }
    let index = hugeIndex(area, page)
    if !area.flags.contains(.shared) {
      if flags.contains(.restoreReserve), let reservation = area.reservation {
        hugeReservations[reservation].consumed.remove(index..<index + 1)
      }
    } else if !flags.contains(.restoreReserve) {
      files[file].promised.remove(index..<index + 1)
    }
  }

  /// The owner of a private mapping gets the promise for an unmapped page back, so that nobody else
  /// takes the page.
  ///
  /// Kernel: `__unmap_hugepage_range()`.
  mutating func restorePromiseOnUnmap(_ area: MemoryArea, _ page: Int, _ folio: Folio) {
    guard let reservation = area.reservation, let pool = hugePoolIndex(order: folio.order),
      hugePools[pool].surplus == 0, folios.mappings(folio) == 0,
      folios.owner(folio).mapping.isAnonymous
    else { return }
    setHugePageFlags(folio.head, hugePageFlags(folio.head).union(.restoreReserve))
    let index = hugeIndex(area, page)
    hugeReservations[reservation].consumed.remove(index..<index + 1)
  }

  /// Takes cached pages and promises out of a hugetlb file.
  ///
  /// A hole in the middle of the file keeps promises of pages that were never touched.
  /// Kernel: `remove_inode_hugepages()`, `hugetlb_unreserve_pages()`.
  mutating func truncateHugetlb(_ file: Int, _ pages: Range<Int>) {
    let order = files[file].hugeOrder
    guard let pool = hugePoolIndex(order: order) else { return }
    let toEnd = pages.upperBound >= files[file].pages
    let indices =
      (pages.lowerBound + 1 << order - 1)
      >> order..<max(
        (pages.lowerBound + 1 << order - 1) >> order, pages.upperBound >> order)
    var freed = 0
    for index in indices {
      guard let pfn = cachedFrame(file, page: index << order) else { continue }
      if freed == 0 { drainLRU(cpu: currentCPU) }
      let folio = Folio(pfn, order: order)
      freed += 1
      addReferences(folio, 1)
      removeFromCache(folio, file, page: index << order)
      putReferences(folio, 1)
      if !toEnd { settlePromises(pool, files[file].promised.remove(index..<index + 1) - 1) }
    }
    if toEnd {
      settlePromises(pool, files[file].promised.remove(indices.lowerBound..<Int.max) - freed)
    }
  }

  /// Takes back promises that were not used, or makes up for those that ``fillHole(_:page:inPinScope:)``
  /// took from others.
  private mutating func settlePromises(_ pool: Int, _ unused: Int) {
    if unused > 0 { takeBackPromises(pool, unused) }
    if unused < 0, promiseHugePages(pool, -unused) != nil { hugePools[pool].missing -= unused }
  }
}
