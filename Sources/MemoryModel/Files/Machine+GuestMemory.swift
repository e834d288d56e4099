// Invariant: a page of a guest_memfd is of order 0, in no page table of a process, on the unevictable
// list, and only its file keeps it: what the guest's own tables show is invalidated when it goes.

extension Machine {
  /// A guest_memfd of a virtual machine: memory that its guest reaches and its process does not.
  ///
  /// It is closed with the process. Nothing is allocated yet.
  ///
  /// Kernel: `kvm_gmem_create()`, virt/kvm/guest_memfd.c; a7800aa80ea4, 6.8 (rule P2.2).
  package mutating func createGuestMemory(
    _ space: Int, name: String, pages: Int
  ) -> Result<Int, Refusal> {
    guard kernel.hasGuestMemory else {
      return .failure(
        Refusal(.ENOTTY, "Linux \(kernel.name) has no KVM_CREATE_GUEST_MEMFD", rule: "P2.2"))
    }
    let created = createFile(.guestMemory, name: name, pages: pages)
    if case .success(let file) = created { files[file].guest = space }
    return created
  }

  /// The files that close when a process has ended.
  mutating func closeGuestMemory(of space: Int) {
    for file in files.indices
    where files[file].guest == space && files[file].isOpen { closeGuestMemory(file) }
  }

  /// Closes a guest_memfd: its pages are freed.
  package mutating func closeGuestMemory(_ file: Int) {
    files[file].guest = nil
    dropUser(file)
  }

  /// Whether a folio is of a file whose pages nobody reclaims: guest_memfd, and secret memory.
  ///
  /// Kernel: `mapping_unevictable()`.
  func hasUnevictableFile(_ folio: Folio) -> Bool {
    guard let file = folios.owner(folio).mapping.fileIndex else { return false }
    return files[file].kind == .guestMemory || files[file].kind == .secret
  }

  /// Whether a folio is of a guest_memfd, which compaction and `alloc_contig_range()` pass over.
  ///
  /// Kernel: `mapping_inaccessible()`.
  public func isInaccessible(_ folio: Folio) -> Bool {
    guard let file = folios.owner(folio).mapping.fileIndex else { return false }
    return files[file].kind == .guestMemory
  }

  /// Whether migration finds the folio's file unwilling, whoever holds it: -EOPNOTSUPP for guest_memfd,
  /// -EBUSY for secret memory (rule P4.6).
  ///
  /// Kernel: `move_to_new_folio()`, `secretmem_migrate_folio()`.
  func isNeverMoved(_ folio: Folio) -> Bool {
    frames.head(folio.head).flags.contains(.unevictable) && hasUnevictableFile(folio)
  }
}
