public import MemoryModel

/// What a guest's RAM is made of.
public enum GuestBacking: String, Sendable, CaseIterable {
  /// Private anonymous memory, as QEMU takes by default.
  case anonymous = "anon"
  /// Shared anonymous memory, which is shmem.
  case shared
  /// A memfd, mapped shared.
  case memfd
  /// A hugetlbfs file, mapped shared.
  case hugetlb
  /// A file of a disk, mapped shared.
  case file
  /// Frames of a device, which are no memory: pins refuse them (rule P3.12).
  case device
  /// A file of a DAX filesystem, mapped shared: no long-term pins (rule P3.12).
  case dax
  /// memfd_secret, locked in memory: no pins at all (rule P3.12).
  case secret
}

/// How a guest's RAM asks for transparent huge pages.
public enum GuestHugePages: String, Sendable, CaseIterable {
  /// Wherever the machine's own setting allows.
  case always
  /// MADV_HUGEPAGE on the RAM, as QEMU asks.
  case madvise
  /// MADV_NOHUGEPAGE on the RAM.
  case never
}

/// Which frames a guest's RAM lies in.
public enum GuestPlacement: Sendable, Equatable {
  /// As faults take them.
  case normal
  /// Single frames in random order, all at once when the guest is made: what a fragmented machine
  /// gives in the worst case.
  case shuffled(seed: UInt64)
}

/// A guest as it is started: a process with RAM.
public struct GuestConfiguration: Sendable, Equatable {
  public var name: String
  /// In bytes.
  public var ram: Int
  public var backing = GuestBacking.anonymous
  public var hugePages = GuestHugePages.always
  /// When the shmem of `shared` and `memfd` may use huge pages (rule P2.12).
  public var shmemHugePages = MemoryFile.HugePolicy.never
  /// The size of hugetlb pages as an order; nil for the architecture's huge page.
  public var hugetlbOrder: Int?
  /// The node on whose CPUs the guest runs; nil for any.
  public var node: Int?
  public var placement = GuestPlacement.normal

  public init(name: String, ram: Int) {
    self.name = name
    self.ram = ram
  }

  /// Where RAM begins: 0x7f0000000000.
  public static let firstPage = 0x7_f000_0000
}
