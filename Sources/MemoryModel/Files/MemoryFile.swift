/// A file whose pages are in memory: shmem (memfd), hugetlbfs, or a file of a disk.
///
/// Kernel: `struct address_space`.
public struct MemoryFile: Sendable, Equatable, Codable {
  public enum Kind: Sendable, Hashable, Codable {
    /// memfd, tmpfs, and shared anonymous memory.
    case shmem
    /// Its pages have this order, 9 or 18.
    case hugetlb(order: Int)
    /// On a disk, with dirty tracking (rule P3.13).
    case regular
    /// A filesystem without a page cache (rule P3.12).
    case fsdax
    /// memfd_secret (rule P3.12).
    case secret
    /// KVM's guest_memfd: never mapped, never moved (rule P2.2).
    case guestMemory
  }

  public let kind: Kind
  public var name: String
  /// Size in pages.
  public package(set) var pages: Int
  /// Chunks of 512 pages: 0 none, else a chunk of the cache + 1, or with the top bit a pageblock
  /// that holds the whole chunk.
  var chunks: [UInt32]
  /// Address spaces with areas of this file.
  var spaces: [Int] = []
  public package(set) var cachedPages = 0
  /// Pages in swap space.
  public package(set) var swappedPages = 0
  /// Descriptors and areas that keep it; at 0 its pages go.
  var users = 1
  /// Somebody has it open or mapped.
  public var isOpen: Bool { users > 0 }
  /// When shmem may use huge pages (rule P2.12).
  public var hugePages = HugePolicy.never

  public enum HugePolicy: String, Sendable, CaseIterable, Codable {
    case never, always
    case withinSize = "within_size"
    case advise
    case force, deny
  }

  /// The process of the virtual machine whose guest_memfd it is.
  public package(set) var guest: Int?

  /// Huge pages of shared mappings that are promised or were handed out, by index.
  ///
  /// Kernel: `inode_resv_map()`.
  var promised = HugeRegions()

  static let hugeChunk: UInt32 = 0x8000_0000

  init(kind: Kind, name: String, pages: Int) {
    self.kind = kind
    self.name = name
    self.pages = pages
    chunks = Array(repeating: 0, count: (pages + 511) / 512)
  }

  /// Makes the file larger, not smaller.
  mutating func grow(to pages: Int) {
    if pages <= self.pages { return }
    self.pages = pages
    chunks += Array(repeating: 0, count: (pages + 511) / 512 - chunks.count)
  }

  /// shmem and hugetlb, whose pages may be pinned for long through shared mappings (rule P3.13).
  public var isMemory: Bool {
    switch kind {
    case .shmem, .hugetlb: true
    default: false
    }
  }

  public var isHugetlb: Bool {
    if case .hugetlb = kind { return true }
    return false
  }

  /// Order of its folios when it is hugetlbfs, else 0.
  public var hugeOrder: Int {
    if case .hugetlb(let order) = kind { return order }
    return 0
  }
}
