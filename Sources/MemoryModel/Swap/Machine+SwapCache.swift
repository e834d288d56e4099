// Which slots a machine's pages have, and when they are given back.

extension Machine {
  /// Pages of swap space, and those among them that hold a page or are kept for one.
  public var swapPages: (total: Int, used: Int) { (swap.count, swap.used) }

  /// The slot of a folio in the swap cache.
  ///
  /// Kernel: `folio_test_swapcache()`, `folio->swap`.
  public func swapSlot(of folio: Folio) -> Int? {
    if swap.cached == 0 { return nil }
    let slot = swap.slots[folio.head.index]
    return slot == 0 ? nil : Int(slot) - 1
  }

  /// The frame of a slot's page, if the swap cache still has it.
  public func swapCachedFrame(_ slot: Int) -> PFN? {
    guard slot < swap.count, swap.table[slot].frame != 0 else { return nil }
    return PFN(swap.table[slot].frame - 1)
  }

  /// How many entries of page tables and files name a slot.
  public func swapUses(_ slot: Int) -> Int { slot < swap.count ? swap.table[slot].count : 0 }

  /// Less than half of the swap space is free, so a page that is back in memory gives its slot up.
  ///
  /// Kernel: `vm_swap_full()`.
  var isSwapFull: Bool { swap.free * 2 < swap.count }

  /// Kernel: `add_to_swap_cache()`.
  mutating func addToSwapCache(_ folio: Folio, _ slot: Int) {
    swap.cache(folio, at: slot)
    folios.addReferences(folio, folio.pages)
    count(.filePages, folio.pages, at: folio.head)
    count(.swapCached, folio.pages, at: folio.head)
  }

  /// Takes a folio out of the swap cache, with the cache's references; the caller holds another.
  ///
  /// Kernel: `delete_from_swap_cache()`.
  mutating func removeFromSwapCache(_ folio: Folio, _ slot: Int) {
    swap.uncache(folio, at: slot)
    folios.addReferences(folio, -folio.pages)
    count(.filePages, -folio.pages, at: folio.head)
    count(.swapCached, -folio.pages, at: folio.head)
  }

  /// Gives the slots of a folio up that no entry names any more; the caller holds a reference.
  ///
  /// Kernel: `folio_free_swap()`.
  @discardableResult
  mutating func freeSwap(_ folio: Folio) -> Bool {
    guard let slot = swapSlot(of: folio),
      (slot..<slot + folio.pages).allSatisfy({ swap.table[$0].count == 0 })
    else { return false }
    removeFromSwapCache(folio, slot)
    setFlags(folio.head, insert: .dirty)
    return true
  }

  /// The same when the last mapping of a folio has gone.
  ///
  /// Kernel: `free_swap_cache()`.
  mutating func freeSwapOfUnmapped(_ folio: Folio) {
    if swap.cached == 0 || folios.mappings(folio) > 0 { return }
    freeSwap(folio)
  }

  /// Lets an entry's slot go, and a page that the swap cache kept for it alone.
  ///
  /// Kernel: `free_swap_and_cache()`, `__try_to_reclaim_swap()`.
  mutating func dropSwapEntry(_ slot: Int) {
    let cached = swapCachedFrame(slot)
    swap.dropUse(slot)
    guard let cached, swap.table[slot].count == 0, let folio = folio(of: cached),
      folios.mappings(folio) == 0 || isSwapFull
    else { return }
    folios.addReferences(folio, 1)
    freeSwap(folio)
    putReferences(folio, 1)
  }
}
