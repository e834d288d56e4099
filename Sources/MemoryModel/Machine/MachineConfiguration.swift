/// What a machine is made of, as its firmware and its kernel command line would say.
///
/// Source: rules A1.1 to A1.27. Everything is checked by ``Machine/boot(_:)`` before anything is
/// built.
public struct MachineConfiguration: Sendable {
  public var geometry: Geometry = .x86_64
  public var kernel: Kernel = .v6_12
  public var nodes: [Node] = []
  /// The node of each CPU.
  public var cpuNodes: [Int] = [0]
  /// Frames that boot never hands to the allocator (firmware, kernel image).
  public var reserved: [PFNRange] = []
  public var kernelcore: MovableSize?
  public var movablecore: MovableSize?
  public var cmaAreas: [CMARequest] = []
  /// `hugetlb_cma=`: pages that CMA areas keep for gigantic pages (rule P5.30).
  public var hugetlbCMA = HugetlbCMA.total(0)
  /// `kvm_cma_resv_ratio`: per cent of the memory that a powerpc host in HV mode sets aside for the
  /// hash page tables of its guests; nil for none (rule P5.20).
  public var hashTableReserve: Int?
  /// Huge pages that boot takes for hugetlbfs.
  public var hugePages: [HugePageRequest] = []
  /// The multi-generational LRU is on, as in Debian's kernels.
  public var usesGenerations = true
  /// Pages of swap space, on a device that writes at once, as zram does.
  public var swapPages = 0
  /// CONFIG_CMA.
  ///
  /// Stock Debian kernels do not have it (rule P0.3).
  public var hasCMA = true
  /// Transparent huge pages raise the watermarks of machines of 512 MiB and more (rule A1.20).
  public var transparentHugePages = true
  /// `enabled` is `madvise`: only areas with MADV_HUGEPAGE get huge pages (rule P2.10).
  public var hugePagesOnlyAdvised = false
  /// `vm.min_free_kbytes` as a user's sysctl.conf writes it right after boot.
  public var minFreeKbytes: Int?
  /// Whether a CPU's share of its last-level cache is more than three batches (rule A5.12).
  public var freeHighBatch = true
  /// Distances between nodes as in the firmware's SLIT; nil is 10 at home and 20 elsewhere.
  public var distances: [[Int]]?

  public struct Node: Sendable, Equatable {
    /// Frames with memory, holes left out.
    public var memory: [PFNRange]

    public init(memory: [PFNRange]) { self.memory = memory }
  }

  /// `kernelcore=` and `movablecore=`: pages, or per cent of all memory.
  public enum MovableSize: Sendable, Equatable {
    case pages(Int)
    case percent(Int)
  }

  /// `hugetlb_cma=`: pages in all, or pages of each node, node 0 first.
  public enum HugetlbCMA: Sendable, Equatable {
    case total(Int)
    case perNode([Int])
  }

  public struct CMARequest: Sendable, Equatable {
    public var name: String
    public var pages: Int
    /// First frame, or nil to place it as `cma=` does (rule A1.26).
    public var base: Int?
    public var orderPerBit: Int
    /// What the first frame is a multiple of; nil is a pageblock.
    var alignment: Int?
    /// The node that it must lie on; nil for any.
    var node: Int?

    public init(name: String, pages: Int, base: Int? = nil, orderPerBit: Int = 0) {
      self.name = name
      self.pages = pages
      self.base = base
      self.orderPerBit = orderPerBit
    }
  }

  public init() {}

  /// The memory map of a plain machine with this much memory on each node.
  ///
  /// x86_64 is laid out as QEMU's `pc` does it: the frame 0 and the 0xa0000 hole are not memory,
  /// memory above 3 GiB continues at 4 GiB, and 128 KiB below the hole belong to the firmware.
  /// Machines below 8 MiB are one range from frame 1. The first MiB is reserved (rule A1.8).
  public mutating func layOut(bytesPerNode: [Int]) throws(MemoryError) {
    let size = geometry.pageSize
    let block = geometry.maxBlockPages
    // In pages and node by node: the bytes of several nodes may not fit an integer.
    var total = 0
    for bytes in bytesPerNode {
      guard bytes / size <= 1 << 31, total + bytes / size <= 1 << 31 else {
        throw MemoryError(
          .configuration,
          "ram = \((total + bytes / size) / (1 << 40 / size)) TiB is more than the model's "
            + "\(size >> 9) TiB")
      }
      total += bytes / size
    }
    guard total >= 16 else {
      throw MemoryError(
        .configuration,
        "ram = \(bytesPerNode.reduce(0, +)) bytes is less than 16 pages; ask for 1M or more")
    }
    var ranges: [PFNRange]
    if geometry.dmaEnd == 0 {
      ranges = [PFNRange(0, total)]
      reserved = total * size >= 8 << 20 ? [PFNRange(0, min(total / 4, (1 << 20) / size * 16))] : []
    } else if total < 2048 {
      ranges = [PFNRange(1, total)]
      reserved = []
    } else {
      let low = 0xC0000
      let firmware = 32
      ranges = [PFNRange(1, 0x9F), PFNRange(0x100, min(total, low) - firmware)]
      if total > low { ranges.append(PFNRange(1 << 20, 1 << 20 + total - low)) }
      reserved = [PFNRange(0, 256)]
    }
    nodes = []
    for (index, bytes) in bytesPerNode.enumerated() {
      let isLast = index == bytesPerNode.count - 1
      var wanted = bytes / size
      var memory: [PFNRange] = []
      while let range = ranges.first, wanted > 0 || isLast {
        // Node borders lie on the border of a largest block, so no block spans two nodes.
        let cut = isLast ? range.end : (range.start + wanted + block / 2) / block * block
        let taken = PFNRange(range.start, min(range.end, cut))
        if !taken.isEmpty { memory.append(taken) }
        wanted -= taken.count
        guard taken.end == range.end else {
          ranges[0].start = taken.end
          break
        }
        ranges.removeFirst()
      }
      guard !memory.isEmpty else {
        throw MemoryError(
          .configuration,
          "node \(index) has \(bytes) bytes, less than one largest block of "
            + "\(block * size >> 10) KiB; give it more memory")
      }
      nodes.append(Node(memory: memory))
    }
  }
}
