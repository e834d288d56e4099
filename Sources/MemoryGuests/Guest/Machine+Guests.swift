// A guest is an address space with RAM. RAM is one area from GuestConfiguration.firstPage on; its
// range stays known when parts of it are unmapped, so that offsets keep their meaning.

public import MemoryModel

extension Machine {
  /// Starts a guest; its RAM is mapped, not populated, unless it is placed in shuffled frames.
  ///
  /// - Returns: The id of its address space, or what the kernel refuses: ENOMEM, EINVAL, EEXIST.
  public mutating func createGuest(_ configuration: GuestConfiguration) -> Result<Int, Refusal> {
    let pages = configuration.ram >> geometry.pageShift
    if spaces.contains(where: { $0.isAlive && $0.name == configuration.name }) {
      return .failure(
        Refusal(
          .EEXIST, "a guest named \"\(configuration.name)\" runs already; choose another name",
          rule: "P2.1"))
    }
    guard let space = createSpace(name: configuration.name) else {
      return .failure(
        Refusal(.ENOMEM, "no memory for the top page table of the guest", rule: "P2.1"))
    }
    spaces[space].homeNode = configuration.node
    switch mapRAM(space, pages: pages, configuration) {
    case .failure(let refusal):
      exit(space)
      return .failure(refusal)
    case .success(let first):
      spaces[space].ram = first..<first + pages
      return .success(space)
    }
  }

  private mutating func mapRAM(
    _ space: Int, pages: Int, _ configuration: GuestConfiguration
  ) -> Result<Int, Refusal> {
    var flags: MemoryArea.Flags = [.read, .write]
    var backing = MemoryArea.Backing.anonymous
    var file: Int?
    if configuration.backing == .device {
      // Behind all memory, where no frame is known.
      let first = (memory.last?.end ?? 0).roundedUp(to: 1 << 18)
      backing = .device(firstFrame: first)
      flags.formUnion([.pfnMap, .io, .shared])
    } else if let kind = fileKind(configuration) {
      switch createFile(kind, name: "\(configuration.name)-ram", pages: pages) {
      case .failure(let refusal): return .failure(refusal)
      case .success(let made):
        files[made].hugePages = configuration.shmemHugePages
        file = made
        backing = .file(made, offset: 0)
        flags.insert(.shared)
        // Kernel: `secretmem_mmap()`.
        if kind == .secret { flags.insert(.locked) }
      }
    }
    switch configuration.hugePages {
    case .always: break
    case .madvise: flags.insert(.hugePage)
    case .never: flags.insert(.noHugePage)
    }
    let result = mapArea(
      space, start: GuestConfiguration.firstPage, pages: pages, flags, backing)
    // The mapping keeps the file; the descriptor is closed at once, as QEMU may.
    if let file { dropUser(file) }
    return result
  }

  private func fileKind(_ configuration: GuestConfiguration) -> MemoryFile.Kind? {
    switch configuration.backing {
    case .anonymous, .device: nil
    case .shared, .memfd: .shmem
    case .hugetlb: .hugetlb(order: configuration.hugetlbOrder ?? geometry.hugeOrder)
    case .file: .regular
    case .dax: .fsdax
    case .secret: .secret
    }
  }

  /// The processes that live, guests and others, oldest first.
  ///
  /// A child that a fork still makes is none: it runs when its tables are whole.
  public var guests: [AddressSpace] { spaces.filter { $0.isAlive && !$0.isStarting } }

  /// The id of the process that has this name, or will have it when its fork is over.
  public func guest(named name: String) -> Int? {
    spaces.last { $0.isAlive && $0.name == name }?.id
  }
}

extension Int {
  func roundedUp(to unit: Int) -> Int { (self + unit - 1) / unit * unit }
}
