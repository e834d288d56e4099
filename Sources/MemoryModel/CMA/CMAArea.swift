extension Machine {
  /// A contiguous memory area: pageblocks of type CMA, which movable pages may borrow (rule P5.1).
  ///
  /// Kernel: `struct cma`, mm/cma.h.
  public struct CMAArea: Sendable, Equatable, Codable {
    public var name: String
    /// First frame.
    public var base: Int
    public var pages: Int
    /// log2 of the pages that one bit of its bitmap stands for.
    public var orderPerBit: Int
    /// Pages handed out, refused and given back since boot (rule P5.4).
    ///
    /// Kernel: the files alloc_pages_success, alloc_pages_fail and release_pages_success under
    /// /sys/kernel/mm/cma.
    public internal(set) var allocatedPages = 0
    public internal(set) var failedPages = 0
    public internal(set) var releasedPages = 0

    public init(name: String, base: Int, pages: Int, orderPerBit: Int) {
      self.name = name
      self.base = base
      self.pages = pages
      self.orderPerBit = orderPerBit
    }

    public var range: PFNRange { PFNRange(base, base + pages) }

    /// The bits of its bitmap.
    ///
    /// Kernel: `cma_bitmap_maxno()`.
    public var bits: Int { pages >> orderPerBit }

    /// Kernel: `cma_bitmap_pages_to_bits()`.
    package func bits(forPages pages: Int) -> Int {
      (pages + 1 << orderPerBit - 1) >> orderPerBit
    }

    /// The bits of an index that must be 0 for an alignment.
    ///
    /// Kernel: `cma_bitmap_aligned_mask()`.
    package func mask(_ alignment: Int) -> Int {
      alignment <= orderPerBit ? 0 : 1 << (alignment - orderPerBit) - 1
    }

    func bit(of pfn: PFN) -> Int { (pfn.index - base) >> orderPerBit }
  }
}

extension FrameState {
  /// ``owner`` of the pages that `cma_alloc()` has handed out.
  public static let cmaOwner = UInt8(ascii: "C")
}
