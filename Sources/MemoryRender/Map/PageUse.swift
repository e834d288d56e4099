internal import MemoryModel

/// What a page serves, as far as the state of its block tells.
public enum PageUse: Int, CaseIterable, Sendable {
  case anon
  case file
  case hugetlb
  case slab
  case pageTable
  /// A driver's page that the driver can move.
  case driver
  case kernel
  /// A buffer of `cma_alloc()`.
  case cma
  /// Handed out by hand, for nobody the model knows.
  case other

  public var name: String {
    switch self {
    case .anon: "anon"
    case .file: "file"
    case .hugetlb: "hugetlb"
    case .slab: "slab"
    case .pageTable: "page tables"
    case .driver: "driver-movable"
    case .kernel: "kernel"
    case .cma: "CMA buffers"
    case .other: "other"
    }
  }

  /// The use that a block's class letter stands for; see ``FrameState/owner``.
  init(owner: UInt8) {
    switch owner {
    case UInt8(ascii: "A"), UInt8(ascii: "a"): self = .anon
    case UInt8(ascii: "F"), UInt8(ascii: "f"): self = .file
    case UInt8(ascii: "H"), UInt8(ascii: "h"): self = .hugetlb
    case UInt8(ascii: "S"): self = .slab
    case UInt8(ascii: "T"): self = .pageTable
    case UInt8(ascii: "M"): self = .driver
    case UInt8(ascii: "K"): self = .kernel
    case FrameState.cmaOwner: self = .cma
    default: self = .other
    }
  }
}
