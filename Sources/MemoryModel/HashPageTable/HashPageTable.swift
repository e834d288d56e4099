// Invariant: a table is in its process's record from the step that got its last page to the step that
// frees the first; no other record names its pages.

/// The hash page table of a powerpc guest: contiguous, and unmovable for the guest's life (P5.20 to
/// P5.25).
///
/// Kernel: `struct kvm_hpt_info`, arch/powerpc/include/asm/kvm_host.h.
public struct HashPageTable: Sendable, Hashable, Codable {
  /// The orders that hardware knows, log2 of bytes: 256 KiB to 64 TiB.
  ///
  /// Kernel: `PPC_MIN_HPT_ORDER`, `PPC_MAX_HPT_ORDER`.
  public static let orders = 18...46
  /// What the first run takes when nobody asked for a table: 16 MiB.
  ///
  /// Kernel: `KVM_DEFAULT_HPT_ORDER`.
  public static let defaultOrder = 24
  /// log2 of the bytes that one bit of the area's map stands for: 256 KiB.
  ///
  /// Kernel: `KVM_CMA_CHUNK_ORDER`.
  static let chunkOrder = 18
  /// The name of the area that boot reserves.
  public static let areaName = "kvm_cma"

  /// log2 of its bytes.
  public let order: Int
  public let pfn: PFN
  /// Its pages, each on its own where they come from CMA.
  public let pages: Int
  /// The CMA area it is from; nil for a block of the buddy.
  public let area: Int?
  /// The pages of its reverse map, in the order in which they were allocated.
  package var reverseMap: [PFNRun]

  public var reverseMapPages: Int { reverseMap.reduce(0) { $0 + $1.count } }

  package init(order: Int, pfn: PFN, pages: Int, area: Int?, reverseMap: [PFNRun]) {
    self.order = order
    self.pfn = pfn
    self.pages = pages
    self.area = area
    self.reverseMap = reverseMap
  }

  /// The order that QEMU asks for: a 128th of the guest's largest RAM, rounded up to a power of two
  /// (rule P5.22).
  public static func order(forRAM bytes: Int) -> Int {
    let rounded = bytes <= 1 ? 0 : Int.bitWidth - (bytes - 1).leadingZeroBitCount
    return min(max(rounded - 7, orders.lowerBound), orders.upperBound)
  }
}

extension MachineConfiguration {
  /// The area that a host in HV mode sets aside for hash page tables (rule P5.20).
  ///
  /// Kernel: `kvm_cma_reserve()`, arch/powerpc/kvm/book3s_hv_builtin.c.
  func hashTableRequests() throws(MemoryError) -> [CMARequest] {
    guard let percent = hashTableReserve else { return [] }
    guard geometry == .ppc64, hasCMA else {
      throw MemoryError(
        .configuration,
        "kvm_cma_resv_ratio = \(percent) on \(geometry.name): hash page tables are powerpc's, and "
          + "come from CMA; boot arch = \"ppc64\" with CONFIG_CMA")
    }
    guard (1...99).contains(percent) else {
      throw MemoryError(
        .configuration, "kvm_cma_resv_ratio = \(percent) is not a share from 1 to 99 per cent")
    }
    let total = nodes.reduce(0) { $0 + $1.memory.normalized().reduce(0) { $0 + $1.count } }
    let bytes = (total << geometry.pageShift) * percent / 100
    let pages = (bytes + geometry.pageSize - 1) >> geometry.pageShift
    return [
      CMARequest(
        name: HashPageTable.areaName, pages: pages,
        orderPerBit: max(0, HashPageTable.chunkOrder - geometry.pageShift))
    ]
  }
}

extension Machine {
  /// The area for hash page tables, if boot reserved one.
  package var hashTableArea: Int? { cmaArea(named: HashPageTable.areaName) }

  /// What the first page of a table in the area is a multiple of, as log2 of pages.
  ///
  /// Kernel: `HPT_ALIGN_PAGES`.
  package var hashTableAlignment: Int { max(0, HashPageTable.chunkOrder - geometry.pageShift) }

  /// Pages that the reverse map of a table needs.
  ///
  /// Kernel: `struct revmap_entry`, one for each entry of 16 bytes.
  package func reverseMapPages(order: Int) -> Int {
    max(1, (16 << (order - 4)) >> geometry.pageShift)
  }

  /// One more page of a reverse map, or nil when there is none.
  ///
  /// The kernel takes them in batches of a hundred, and besides an array of pointers to them, which the
  /// model leaves out. Kernel: `vmalloc()`.
  package mutating func allocateReverseMapPage() -> PFN? {
    guard let pfn = allocatePages(order: 0, gfp: .kernel).pfn else { return nil }
    mark(pfn, owner: UInt8(ascii: "K"))
    return pfn
  }

  /// A table from the buddy, where one is small enough.
  ///
  /// Kernel: `kvmppc_allocate_hpt()`.
  package mutating func allocateBuddyHashTable(order: Int) -> AllocationResult {
    let result = allocatePages(
      order: order - geometry.pageShift, gfp: [.kernel, .zero, .retryMayFail, .noWarn])
    if let pfn = result.pfn { mark(pfn, owner: UInt8(ascii: "K")) }
    return result
  }

  private mutating func mark(_ pfn: PFN, owner: UInt8) {
    var state = frames.head(pfn)
    state.owner = owner
    frames.setHead(pfn, state)
  }

  /// Gives a process its table.
  package mutating func install(_ table: HashPageTable, space: Int) {
    spaces[space].hashTable = table
  }

  /// Frees the table of a process: first the reverse map, then the table itself (rule P5.23).
  ///
  /// Kernel: `kvmppc_free_hpt()`.
  package mutating func freeHashTable(of space: Int) {
    guard let table = spaces[space].hashTable else { return }
    spaces[space].hashTable = nil
    free(table)
  }

  package mutating func free(_ table: HashPageTable) {
    for run in table.reverseMap {
      for index in 0..<run.count { freePagesOneByOne(PFNRun(run[index], count: 1).range) }
    }
    guard let area = table.area else {
      if let zone = frames.zone(of: table.pfn) {
        freeBlock(zone, table.pfn, order: table.order - geometry.pageShift)
      }
      return
    }
    freePagesOneByOne(PFNRange(table.pfn.index, table.pfn.index + table.pages))
    finishCMARelease(area: area, table.pfn, pages: table.pages)
  }
}
